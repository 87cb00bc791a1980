"""What `rung view` shows: a folder's runs as documents, served or written as a bundle."""
