"""Changes of form: what they do to a text, and to a scorer's scores."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import TinyReward
from rung.cli.main import main
from rung.core import (
    Chain,
    ChainRecord,
    Problem,
    RungError,
    StepLabels,
    StepScores,
    read_records,
    write_records,
)
from rung.eval import robustness, variant_records
from rung.eval.variants import CHANGES, FILLER, variants_of, without_number
from vllm_stand_in import logits_by, stand_in

TEXTS = ("1. We add 3 and 4.", "2. That is 7.", "3. The answer is 7.")


def changed(name, texts=TEXTS):
    return CHANGES[name](tuple(texts))


def test_numbers_are_taken_away_put_on_and_moved_but_words_stay():
    assert changed("step prefix").texts[1] == "Step 2: That is 7."
    assert changed("numbered from 11").texts[0] == "11. We add 3 and 4."
    assert changed("no numbers").texts == ["We add 3 and 4.", "That is 7.", "The answer is 7."]
    assert changed("numbered").texts == list(TEXTS)
    assert changed("wide blanks").texts[1] == "2.  That  is  7."


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("Step 3: so x = 2", "so x = 2"),
        ("**Step 3:** so x = 2", "so x = 2"),
        ("3) so x = 2", "so x = 2"),
        ("3.5 is the mean", "3.5 is the mean"),
        ("3 apples", "3 apples"),
        ("Step by step we see", "Step by step we see"),
    ],
)
def test_only_a_number_of_the_step_is_taken_for_one(text, bare):
    assert without_number(text) == bare


def test_other_words_say_the_same():
    texts = ["Therefore, 3 + 4 equals 7.", r"$\therefore x$ is equal to 2, hence even."]
    assert changed("other words", texts).texts == [
        "Thus, 3 + 4 is equal to 7.",
        r"$\therefore x$ equals 2, therefore even.",
    ]
    assert changed("other words", ["Let's see: we get 12 in total, because 3 < 5."]).texts == [
        "Let us see: we obtain 12 altogether, since 3 < 5."
    ]
    assert changed("other words", ["Thusly", "henceforth"]).texts == ["Thusly", "henceforth"]


@given(st.lists(st.text("ab. 12", min_size=1).filter(str.strip), min_size=1, max_size=6))
def test_every_variant_keeps_every_step_at_its_place(texts):
    chain = Chain.of(Problem("p", "q"), texts)
    for name, made in variants_of(chain):
        assert made.places == sorted(set(made.places)) and len(made.places) == len(texts)
        assert made.texts != texts
        for text, place in zip(texts, made.places, strict=True):
            bare = "".join(without_number(text).split())
            assert bare in "".join(made.texts[place].split()), name


def test_a_filler_and_a_repetition_add_one_step_behind_the_first():
    assert changed("filler step") == ([TEXTS[0], FILLER, *TEXTS[1:]], [0, 2, 3])
    assert changed("repeated step") == ([TEXTS[0], *TEXTS], [0, 2, 3])


def test_what_a_change_leaves_as_it_is_is_no_variant():
    names = [name for name, _ in variants_of(Chain.of(Problem("p", "q"), TEXTS))]
    assert "numbered" not in names and "step prefix" in names


def originals(count=12):
    return [
        ChainRecord(
            Chain.of(Problem(f"p{k}", f"question {k}"), [f"{k}. a", f"{k}. b", f"{k}. c"]),
            (StepLabels((1.0, float(k % 2), float(k % 3 == 0)), "human"),),
        )
        for k in range(count)
    ]


def scored(records, score):
    """All records with `score(record, place, text)` of every step."""
    return [
        record.with_scores(
            StepScores(
                tuple(score(record, k, text) for k, text in enumerate(record.chain.texts)), "prm"
            )
        )
        for record in records
    ]


def by_variant(records, **options):
    return {row.variant: row for row in robustness(records, resamples=100, **options)}


def by_content(record, place, text):
    return (sum(map(ord, without_number(text).replace(" ", ""))) % 7) / 7


def test_a_scorer_that_reads_only_content_does_not_change_at_all():
    records = list(variant_records(originals()))
    for row in by_variant(scored(records, by_content)).values():
        assert row.mean_size.value == row.flipped.value == row.moved.value == 0.0
        assert row.auroc_change.value == row.auroc_change.low == row.auroc_change.high == 0.0


def test_a_scorer_that_likes_a_form_is_found_out_with_its_size():
    def likes_steps(record, place, text):
        return 0.6 if text.startswith("Step") else 0.4

    rows = by_variant(scored(list(variant_records(originals())), likes_steps))
    liked = rows["step prefix"]
    assert liked.mean_change.value == liked.mean_size.value == pytest.approx(0.2)
    assert liked.flipped.value == 1.0 and liked.moved.value == 1.0
    assert rows["wide blanks"].mean_size.value == 0.0
    assert (liked.num_chains, liked.num_steps) == (12, 36)


def test_steps_are_compared_with_themselves_where_a_step_was_put_in():
    def by_letter(record, place, text):
        return {"a": 0.9, "b": 0.5, "c": 0.1}.get(text[-1], 0.3)

    rows = by_variant(scored(list(variant_records(originals())), by_letter))
    assert rows["filler step"].mean_size.value == rows["repeated step"].mean_size.value == 0.0


def test_paraphrases_that_others_wrote_are_variants_too():
    told = {"of": 1, "name": "paraphrase", "places": [0, 1, 2]}
    chain = Chain.of(Problem("p1", "question 1"), ["an a", "a b", "the c"])
    records = [*variant_records(originals(2)), ChainRecord(chain, meta={"variant": told})]
    row = by_variant(scored(records, lambda record, place, text: len(text) / 100))["paraphrase"]
    assert (row.num_chains, row.num_steps) == (1, 3)
    assert row.mean_size.value == pytest.approx(0.02 / 3)


def test_intervals_are_over_problems():
    def by_problem(record, place, text):
        is_odd = int(record.chain.problem.id[1:]) % 2
        return 0.5 + 0.4 * is_odd * text.startswith("Step")

    row = by_variant(scored(list(variant_records(originals())), by_problem))["step prefix"]
    assert row.mean_change.value == pytest.approx(0.2)
    assert 0 <= row.mean_change.low < 0.15 and 0.25 < row.mean_change.high <= 0.4


def test_variants_without_their_original_and_chains_without_variants_are_refused():
    made = scored(list(variant_records(originals(2))), by_content)
    alone = [r for r in made if r.meta["variant"]["name"] != "original"]
    with pytest.raises(RungError, match="no variant has scores by one who has scored its original"):
        robustness(alone)
    with pytest.raises(RungError, match="no chain here is a variant of another"):
        robustness(scored(originals(), by_content))
    broken = [replace(r, meta={"variant": {**r.meta["variant"], "places": [0]}}) for r in made]
    with pytest.raises(RungError, match=r"the places of variant .* don't fit it"):
        robustness(broken)
    with pytest.raises(RungError, match="doesn't name a variant"):
        robustness([replace(made[0], meta={"variant": 3})])


def test_rung_eval_robustness_scores_in_one_go_or_in_two(tiny_reward: TinyReward, tmp_path, capsys):
    source, variants, out = (tmp_path / name for name in ("in.jsonl", "variants.jsonl", "s.jsonl"))
    write_records(source, originals(4))
    prm = str(tiny_reward("prm"))
    command = ["eval", "robustness", "--resamples", "50", "--json"]
    assert main([*command, str(source), "--scorer", prm]) == 0
    at_once = json.loads(capsys.readouterr().out)
    assert main([*command, str(source), "--variants", str(variants)]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == sum(1 for _ in read_records(variants))
    assert main(["score", str(variants), "--scorer", prm, "--out", str(out)]) == 0
    capsys.readouterr()
    assert main([*command, str(out)]) == 0
    assert json.loads(capsys.readouterr().out) == at_once
    assert {row["variant"] for row in at_once["changes"]} == set(CHANGES) - {"other words"}
    assert main(["eval", "robustness", "--resamples", "50", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "filler step" in shown and " to " in shown and "flipped" in shown


def test_rung_eval_robustness_says_what_is_missing(tmp_path, capsys):
    source = tmp_path / "in.jsonl"
    write_records(source, scored(originals(2), by_content))
    assert main(["eval", "robustness", str(source)]) == 2
    assert "give --scorer, or write variants with --variants" in capsys.readouterr().err
    assert main(["eval", "robustness", str(source), "--scorer", str(tmp_path / "no")]) == 2
    assert main(["eval", "robustness"]) == 2


def test_rung_eval_robustness_gives_its_token_to_a_server(
    tiny_reward: TinyReward, tmp_path, capsys, monkeypatch
):
    source, folder = tmp_path / "in.jsonl", tiny_reward("prm")
    write_records(source, originals(2))
    monkeypatch.setenv("PRM_TOKEN", "secret")
    command = ["eval", "robustness", str(source), "--resamples", "50", "--json"]
    assert main([*command, "--scorer", f"prm={folder}"]) == 0
    here = json.loads(capsys.readouterr().out)
    with stand_in(logits_by(folder, tag=None)) as server:
        there = [*command, "--scorer", f"prm={folder}@{server.url}"]
        assert main([*there, "--scorer-key-env", "PRM_TOKEN"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["mean_size"]["value"] for row in found["changes"]] == pytest.approx(
        [row["mean_size"]["value"] for row in here["changes"]], abs=1e-4
    )
    assert set(server.keys) == set(server.keys_of_gets) == {"Bearer secret"}
