"""What runs inside the sandboxes, with nothing but the standard library.

`program` is beside the program under test, `tests` is beside the tests, in a second sandbox;
`wire` is how they speak. See `rung.verify.code`.
"""
