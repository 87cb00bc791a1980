"""Which family a folder is of, and what is never done while it is opened."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from published import WIDTH, Small, qwen_tokenizer, random_heads, save, two_layer_heads
from rung import Chain, ChainRecord, InputError, Problem, RungError, read_records, write_records
from rung.cli.main import main
from rung.model.families import FAMILIES, checkpoint_files, recognize
from rung.score import load_scorer

PRM = {"architectures": ["Qwen2ForProcessRewardModel"], "model_type": "qwen2"}
VALUE_HEAD = random_heads(v_head__summary__weight=(1, WIDTH), v_head__summary__bias=(1,))
ONE = Chain.of(Problem("p", "How many?"), ["one and two", "so 42"])


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Small:
    folder = tmp_path_factory.mktemp("models") / "Qwen2.5-Math-PRM-7B"
    return save(folder, qwen_tokenizer("<extra_0>"), two_layer_heads(2), PRM)


@pytest.fixture
def copied(qwen: Small, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the model whose config says something else."""

    def copy(name: str = "copy", **config: Any) -> Path:
        shutil.copytree(qwen.folder, tmp_path / name)
        path = tmp_path / name / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | config))
        return path.parent

    return copy


def score(folder: Path, **how: Any) -> tuple[float | None, ...]:
    return load_scorer(folder, **how).score([ONE])[0].scores


def test_an_unknown_model_type_opens_by_the_architecture_s_name(
    qwen: Small, copied: Callable[..., Path]
):
    folder = copied(model_type="qwen2_rm", auto_map={"AutoConfig": "modeling_qwen2_rm.Config"})
    assert score(folder) == score(qwen.folder)


def test_what_transformers_has_no_class_for_is_refused_and_its_code_not_run(
    copied: Callable[..., Path],
):
    folder = copied(model_type="my_rm", architectures=["MyRewardModel"])
    with pytest.raises(InputError, match="no class for 'MyRewardModel', and remote code is not"):
        load_scorer(folder, family="qwen-prm")


def test_an_adapter_without_its_model_is_told_how_to_get_one(tmp_path: Path):
    folder = tmp_path / "granite-3.3-8b-lora-math-prm"
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    for family in ("auto", "granite"):
        with pytest.raises(InputError, match="a LoRA adapter without the model it belongs to"):
            load_scorer(folder, family=family)


def test_a_folder_that_says_nothing_is_refused_with_all_families(copied: Callable[..., Path]):
    folder = copied(architectures=["Qwen2ForCausalLM"])
    with pytest.raises(InputError, match="name its family") as refused:
        load_scorer(folder)
    assert all(name in str(refused.value) for name in FAMILIES)
    assert score(folder, family="qwen-prm") == score(copied("other"))


def test_a_folder_of_two_families_is_refused_with_both(copied: Callable[..., Path]):
    folder = copied("reasoneval-or-minos", architectures=["MistralForTokenClassification"])
    assert recognize(folder).family.name == "math-minos"
    folder = copied("Universal-PRM-or-not")
    with pytest.raises(InputError, match=r"qwen-prm, as config.json names .*; universal-prm, as"):
        load_scorer(folder)


def test_a_general_layout_gives_way_to_a_model_s_name(copied: Callable[..., Path]):
    classifier = {"architectures": ["Qwen2ForTokenClassification"]}
    assert recognize(copied("mine", **classifier)).family.name == "trl"
    assert recognize(copied("PURE-PRM-7B", **classifier)).family.name == "pure"
    assert recognize(copied("x", **classifier, _name_or_path="a/PURE-PRM")).family.name == "pure"
    one_label = copied("y", **classifier, id2label={"0": "LABEL_0"})
    with pytest.raises(InputError, match="name its family"):
        recognize(one_label)


def test_a_card_s_title_tells_and_its_comparisons_do_not(copied: Callable[..., Path]):
    folder = copied()
    card = folder / "README.md"
    card.write_text("---\nlicense: mit\n---\n# ReasonFlux-PRM-7B\n\nBetter than others.\n")
    assert recognize(folder).family.name == "reasonflux-prm"
    assert "the title of README.md says" in recognize(folder).why
    card.write_text("# A PRM of ours\n\nBetter than ReasonFlux-PRM-7B and PURE-PRM.\n")
    assert recognize(folder).family.name == "qwen-prm"
    assert checkpoint_files(folder).title == "A PRM of ours"


def test_rung_s_own_models_stay_its_own_whatever_they_are_called(tiny_prm: Path, tmp_path: Path):
    folder = shutil.copytree(tiny_prm, tmp_path / "skywork-o1-open-prm-pqm")
    assert recognize(folder).family.name == "rung"


def test_unknown_families_and_options_are_refused(qwen: Small):
    with pytest.raises(RungError, match="no family 'nope'; there are rung, qwen-prm"):
        load_scorer(qwen.folder, family="nope")
    with pytest.raises(RungError, match="qwen-prm has no option 'mode'; it has: none"):
        load_scorer(qwen.folder, options={"mode": "training"})
    with pytest.raises(RungError, match=r"option of the family trl can't be read.*'wrong'"):
        load_scorer(qwen.folder, family="trl", options={"mode": "wrong"})


def test_a_classifier_that_transformers_saved_gives_its_probabilities(tmp_path: Path):
    tokenizer = qwen_tokenizer()
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForTokenClassification.from_config(config).eval()
    model.save_pretrained(tmp_path / "mine")
    tokenizer.save_pretrained(tmp_path / "mine")
    scorer = load_scorer(tmp_path / "mine")
    assert scorer.reader.family == "trl"
    (rendered,) = scorer.reader.render([ONE])
    expected: list[float] = []
    for k in range(2):
        ids, place = rendered.read_of(k) or ((), 0)
        with torch.no_grad():
            logits = model(torch.tensor([ids[: place + 1]])).logits
        expected.append(float(logits[0, -1].softmax(-1)[1]))
    assert scorer.score([ONE])[0].scores == pytest.approx(expected, abs=2e-5)


def test_pure_puts_no_bos_before_the_question_whatever_the_tokenizer_says(tmp_path: Path):
    heads = random_heads(score__weight=(2, WIDTH), score__bias=(2,))
    config = {"architectures": ["Qwen2ForTokenClassification"], "model_type": "qwen2"}
    small = save(tmp_path / "PURE-PRM-7B", qwen_tokenizer(bos="<|bos|>"), heads, config)
    (rendered,) = load_scorer(small.folder).reader.render([ONE])
    assert small.tokenizer.bos_token_id not in rendered.ids


def test_options_change_the_fingerprint(tmp_path: Path):
    heads = random_heads(score__weight=(2, WIDTH), score__bias=(2,))
    config = {"architectures": ["Qwen2ForTokenClassification"], "model_type": "qwen2"}
    small = save(tmp_path / "classifier", qwen_tokenizer(), heads, config)
    modes = [{"mode": "published"}, {"mode": "training"}]
    first, second = (load_scorer(small.folder, options=mode).fingerprint for mode in modes)
    assert first != second


@pytest.mark.parametrize(
    ("lost", "words"),
    [("score.2.bias", None), ("score.2.weight", "lack score.2.weight, the head")],
)
def test_a_head_that_is_missing_is_named(tmp_path: Path, lost: str, words: str | None):
    heads = two_layer_heads(2)
    del heads[lost]
    small = save(tmp_path / "prm", qwen_tokenizer("<extra_0>"), heads, PRM)
    if words is None:  # a layer may have no bias
        assert None not in score(small.folder)
    else:
        with pytest.raises(InputError, match=words):
            load_scorer(small.folder)


def test_a_head_of_another_size_is_refused(tmp_path: Path):
    small = save(tmp_path / "prm", qwen_tokenizer("<extra_0>"), two_layer_heads(3), PRM)
    with pytest.raises(InputError, match=r"score\.2\.weight has shape \(3, 16\), expected 2 rows"):
        load_scorer(small.folder)


def test_a_trunk_weight_that_is_missing_is_named(tmp_path: Path):
    small = save(tmp_path / "pqm", qwen_tokenizer("[PRM]"), VALUE_HEAD, file="pqm.pt")
    state = torch.load(small.folder / "pqm.pt")
    del state["model.norm.weight"]
    torch.save(state, small.folder / "pqm.pt")
    with pytest.raises(InputError, match=r"the weights lack norm\.weight"):
        load_scorer(small.folder, trust_pickle=True)


def test_a_pickle_is_opened_only_when_it_is_trusted(tmp_path: Path):
    small = save(tmp_path / "pqm", qwen_tokenizer("[PRM]"), VALUE_HEAD, file="pqm.pt")
    with pytest.raises(InputError, match=r"pqm\.pt: pickled weights are refused.*--trust-pickle"):
        load_scorer(small.folder)
    assert None not in score(small.folder, trust_pickle=True)


def test_a_pickle_in_shards_is_read_by_its_index(tmp_path: Path):
    small = save(tmp_path / "pqm", qwen_tokenizer("[PRM]"), VALUE_HEAD, file="pqm.pt")
    whole = score(small.folder, trust_pickle=True)
    state = torch.load(small.folder / "pqm.pt")
    weight_map: dict[str, str] = {}
    for k, half in enumerate([list(state)[::2], list(state)[1::2]], 1):
        name = f"pytorch_model-0000{k}-of-00002.bin"
        torch.save({n: state[n] for n in half}, small.folder / name)
        weight_map |= dict.fromkeys(half, name)
    index = {"metadata": {}, "weight_map": weight_map}
    (small.folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    (small.folder / "pqm.pt").unlink()
    assert "v_head.summary.weight" in checkpoint_files(small.folder).weight_names
    assert score(small.folder, trust_pickle=True) == whole


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('a pickle was run')",)


@pytest.mark.parametrize("state", [Evil(), {"v_head.summary.weight": Evil()}, [1, 2]])
def test_a_trusted_pickle_runs_no_code(tmp_path: Path, state: Any):
    small = save(tmp_path / "pqm", qwen_tokenizer("[PRM]"), VALUE_HEAD, file="pqm.pt")
    (small.folder / "pqm.pt").write_bytes(pickle.dumps(state, protocol=2))
    with pytest.raises(InputError, match=r"pqm\.pt: the pickle (can't be read|holds something)"):
        load_scorer(small.folder, trust_pickle=True)


def test_trainers_pickles_beside_safetensors_are_not_touched(copied: Callable[..., Path]):
    folder = copied()
    for name in ("training_args.bin", "optimizer.pt", "pytorch_model.bin"):
        (folder / name).write_bytes(pickle.dumps(Evil()))
    assert None not in score(folder)


def test_a_head_in_a_file_of_its_own_counts_in_the_hash(tmp_path: Path):
    small = save(tmp_path / "ReasonFlux-PRM-1.5B", qwen_tokenizer(), {})
    hashes: set[str] = set()
    for seed in (1, 2):
        torch.manual_seed(seed)
        head = torch.nn.Linear(WIDTH, 1).state_dict()
        torch.save(head, small.folder / "reward_head.pt")
        hashes.add(load_scorer(small.folder, trust_pickle=True).weights_hash)
    assert len(hashes) == 2


def scored(folder: Path, tmp_path: Path, *argv: str) -> int:
    write_records(tmp_path / "in.jsonl", [ChainRecord(ONE)])
    out = ["--out", str(tmp_path / "out.jsonl")]
    return main(["score", str(tmp_path / "in.jsonl"), "--scorer", str(folder), *out, *argv])


def test_the_command_says_what_it_recognized_and_why(
    qwen: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert scored(qwen.folder, tmp_path) == 0
    said = capsys.readouterr()
    assert "is read as qwen-prm (Qwen2.5-Math-PRM" in said.err
    assert "config.json names Qwen2ForProcessRewardModel" in said.err
    assert "its authors combine scores by product" in said.out
    (record,) = read_records(tmp_path / "out.jsonl")
    (scores,) = record.scores
    assert scores.scores == score(qwen.folder)


def test_the_command_takes_a_family_its_options_and_trust(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    small = save(tmp_path / "some-value-model", qwen_tokenizer("[PRM]"), VALUE_HEAD, file="x.bin")
    assert scored(small.folder, tmp_path) == 2
    assert "name its family with --family" in capsys.readouterr().err
    named = ["--family", "pqm"]
    assert scored(small.folder, tmp_path, *named) == 2
    assert "--trust-pickle" in capsys.readouterr().err
    assert scored(small.folder, tmp_path, *named, "--family-option", "query", "--trust-pickle") == 2
    assert "expected NAME=VALUE" in capsys.readouterr().err
    option = ["--family-option", "query=alpaca"]
    assert scored(small.folder, tmp_path, *named, *option, "--trust-pickle", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["scorers"]
    assert (told["family"], told["aggregation"]) == ("pqm", "min")
    (record,) = read_records(tmp_path / "out.jsonl")
    how = {"family": "pqm", "options": {"query": "alpaca"}, "trust_pickle": True}
    assert record.scores[0].scores == score(small.folder, **how)
