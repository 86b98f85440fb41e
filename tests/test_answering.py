"""Question answering from checkpoints: where they are looked for, and what an answer comes with."""

import shutil

import numpy as np
import pytest
from small_words import VOCABULARY, save_checkpoints

from dpr_tf.answering import QuestionAnswering
from dpr_tf.checkpoints import ROLES, classes, load_checkpoint
from dpr_tf.data import Passage
from dpr_tf.retrieval.retriever import Retriever

PASSAGES = [
    Passage("a", "Bridge", "the old bridge over the river was built of stone ."),
    Passage("b", "Zola", "emile zola was in paris , by the red tower ."),
    Passage("c", "", "the king and the queen ."),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


def test_three_names_and_one_folder_give_the_same_system(folder):
    one = QuestionAnswering.from_pretrained(PASSAGES, [str(folder)], progress=False)
    three = QuestionAnswering.from_pretrained(
        PASSAGES, [str(folder / role) for role in ROLES], progress=False
    )
    first, second = (system.answer("who was in Paris?", k=2, top_answers=2) for system in (one, three))
    assert first.passages == second.passages
    assert first.answers == second.answers


def test_an_answer_comes_with_its_passages_and_timings(folder):
    system = QuestionAnswering.from_pretrained(PASSAGES, [str(folder)], progress=False)
    answered = system.answer("who was in Paris?", k=2, top_answers=5)
    assert answered.question == "who was in Paris?"
    assert [scored.rank for scored in answered.passages] == [1, 2]
    assert sorted(answer.retrieval_rank for answer in answered.answers) == [1, 2]
    assert answered.retrieval_seconds > 0 < answered.reading_seconds


def test_nobody_looks_for_changes_of_an_encoder_that_nobody_has(folder):
    system = QuestionAnswering.from_pretrained(PASSAGES, [str(folder)], progress=False)
    assert system.retriever._embedder._forward._run._weights_stay
    encoder = load_checkpoint("question_encoder", folder / "question_encoder")
    mine = Retriever(*encoder, system.retriever.index, PASSAGES)
    assert not mine._embedder._forward._run._weights_stay


def test_passages_and_questions_meet_as_the_encoders_say(folder):
    # The retriever's scores are the inner products of what the two encoders make of passage and question.
    system = QuestionAnswering.from_pretrained(PASSAGES, [str(folder)], progress=False)
    vectors = []
    for role, text in (
        ("context_encoder", ("Zola", PASSAGES[1].text)),
        ("question_encoder", ("who was in paris?",)),
    ):
        model_class, tokenizer_class = classes(role)
        encoding = tokenizer_class.from_pretrained(folder / role)(*text, return_tensors="np")
        model = model_class.from_pretrained(folder / role)
        vectors.append(np.asarray(model(encoding["input_ids"]).pooler_output)[0])
    (score,) = (
        scored.score for scored in system.answer("who was in Paris?").passages if scored.passage.id == "b"
    )
    assert score == pytest.approx(float(vectors[0] @ vectors[1]), abs=1e-4)


def test_several_questions_get_what_each_gets_alone(folder):
    system = QuestionAnswering.from_pretrained(PASSAGES, [str(folder)], progress=False)
    questions = ["who was in Paris?", "what was built of stone?"]
    together = system.answer(questions, k=2, top_answers=2)
    for question, answered in zip(questions, together, strict=True):
        alone = system.answer(question, k=2, top_answers=2)
        assert answered.question == question
        assert [scored.passage for scored in answered.passages] == [s.passage for s in alone.passages]
        assert [answer.text for answer in answered.answers] == [answer.text for answer in alone.answers]
    assert system.answer([]) == []


@pytest.mark.parametrize("names", [[], ["one", "two"], ["one", "two", "three", "four"]])
def test_refuses_another_number_of_names(names):
    with pytest.raises(ValueError, match=f"expected three checkpoints .*; got {len(names)}"):
        QuestionAnswering.from_pretrained(PASSAGES, names)


def test_refuses_a_vocabulary_that_is_too_large_for_the_model(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    vocabulary = tmp_path / "copy" / "reader" / "vocab.txt"
    (tmp_path / "copy" / "reader" / "tokenizer.json").unlink()
    vocabulary.write_text(vocabulary.read_text() + "more\n")
    count = len(VOCABULARY)
    with pytest.raises(
        ValueError, match=f"reader .*: the tokenizer has {count + 1} tokens, the model {count}"
    ):
        QuestionAnswering.from_pretrained(PASSAGES, [str(tmp_path / "copy")])


def test_refuses_no_passages(folder):
    with pytest.raises(ValueError, match="no passages to answer from"):
        QuestionAnswering.from_pretrained([], [str(folder)])
