"""One mistake is one sentence; several are several lines; both survive the way back from a data worker."""

from __future__ import annotations

import pickle

from minigpt4.common.errors import UserError, UserErrors, nearest


def test_the_sentence_has_place_fault_and_cure() -> None:
    assert str(UserError("x", where="a.yaml:7", what="is wrong", fix="fix it")) == "a.yaml:7: is wrong; fix it"
    assert str(UserError("x", what="is wrong")) == "is wrong"


def test_errors_survive_pickling() -> None:
    error = UserError("data.unreadable", where="a.tar", what="is cut", fix="fetch it again")
    back = pickle.loads(pickle.dumps(error))
    assert (back.code, str(back)) == ("data.unreadable", "a.tar: is cut; fetch it again")
    both = pickle.loads(pickle.dumps(UserErrors([error, error])))
    assert len(both.errors) == 2 and str(both).count("\n") == 1


def test_the_nearest_word_or_all_of_them() -> None:
    assert nearest("lerning", ["learning", "other"]) == "did you mean 'learning'?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
