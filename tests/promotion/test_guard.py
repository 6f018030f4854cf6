"""An alias that is moved past `promote` is reported, and moved back where that is asked for."""

import random

import mlflow
import pytest
from click.testing import CliRunner

from nnperm_mlflow import history, promote
from nnperm_mlflow.attestation.key_files import new_key
from nnperm_mlflow.basics.errors import ConfigError, RefusedError
from nnperm_mlflow.cli.main import main
from nnperm_mlflow.promotion.alias_guard import MOST_MOVES
from nnperm_mlflow.registry import aliases
from nnperm_mlflow.registry.verdicts import log_texts
from tests.support.guarded_models import GuardedModel
from tests.support.signers import PASSWORD, ROLES, key_of
from tests.support.simulations import in_full

MOVES = in_full(100, 12)


@pytest.fixture
def post(tracked, tmp_path, request):
    return GuardedModel(tracked, request.node.name, tmp_path)


def test_promotions_and_roll_backs_are_not_undone(post):
    assert post.look().state == "unpromoted"
    post.promote("1")
    assert post.look(move_back=True).state == "kept"
    post.promote("2")
    found = post.look(move_back=True)
    assert (found.state, found.number, found.is_kept) == ("kept", 2, True)
    post.move("1")
    found = post.look(move_back=True)
    assert (found.state, found.holder, found.promoted, found.moved_back) == ("rolled back", "1", "2", False)
    assert post.champion() == "1"
    assert '"state": "rolled back"' in post.client.get_model_version(post.name, "1").tags["nnperm.guard.champion"]
    post.promote("1")
    assert post.look(move_back=True).state == "kept"


@pytest.mark.slow
def test_every_move_past_promote_is_reported_and_moved_back_where_asked(post, tmp_path):
    post.promote("1")
    post.promote("2")
    post.look()
    rng = random.Random(3)
    for number in range(MOVES):
        elsewhere = rng.choice(["3", "4", None])
        post.move(elsewhere)
        found = post.look()
        assert (found.state, found.holder, found.moved_back, post.champion()) == ("moved", elsewhere, False, elsewhere)
        back = post.look(f"hour {number // MOST_MOVES}", move_back=True)
        assert (back.state, back.moved_back, post.champion()) == ("moved", True, "2")
        assert post.look().state == "kept"


def test_an_alias_that_somebody_moves_on_purpose_is_moved_back_three_times_an_hour(post):
    post.promote("1")
    for number in range(MOST_MOVES + 1):
        post.move("3")
        assert post.look(move_back=True).moved_back is (number < MOST_MOVES)
    assert post.champion() == "3"
    assert "not moved back, which was done 3 times within an hour" in post.look(move_back=True).in_words


def test_a_promotion_that_was_hidden_is_noticed(post):
    post.promote("1")
    post.promote("2")
    assert post.look().state == "kept"
    post.client.set_tag(post.runs[-1], "nnperm.kind", "something else")
    post.move("1")
    found = post.look(move_back=True)
    assert (found.state, post.champion()) == ("promotions missing", "1")
    assert "2 promotions were seen, and now there are 1" in found.in_words
    assert post.look("the state of somebody who has not seen it").state == "kept"


def test_a_deleted_run_hides_no_promotion(post):
    post.promote("1")
    post.promote("2")
    post.client.delete_run(post.runs[-1])
    assert post.look().state == "kept"


def test_promotions_that_do_not_count_put_an_alias_nowhere(post):
    post.promote("1")
    for stranger in ("anna", "a stranger"):
        last, number = post.last, post.number
        post.promote("3", by=stranger)
        post.last, post.number = last, number
        found = post.look()
        assert (found.state, found.promoted) == ("moved", "1")


def test_other_files_under_the_same_version_are_noticed(post):
    post.promote("1")
    (post.folder / "model1" / "weights").write_text("others")
    found = post.look(move_back=True)
    assert (found.state, found.is_kept) == ("other files", False)


def key_files(post, *people):
    """Files of second keys of people, which the trust file holds, too."""
    keys = {}
    for name in people:
        made = new_key(post.folder / f"{name}.key", PASSWORD)
        keys[name] = post.folder / f"{name}.key"
        held = {"person": name, "roles": ROLES[name], "public": made.public}
        post.trust.content["keys"][made.key_id] = {**post.trust.content["keys"][key_of(name).public.key_id], **held}
    post.trust.write(post.trust_file)
    return keys


@pytest.mark.parametrize("unpromoted", ["3", None])
def test_a_guard_that_moves_the_alias_before_the_promoter_does_refuses_no_promotion(post, monkeypatch, unpromoted):
    """It looks when the promotion has been signed and written, and the alias is still where nobody promoted it."""
    if unpromoted is not None:
        post.move(unpromoted)
    keys, looks = key_files(post, "anna"), []

    def write_and_look(*given):
        log_texts(*given)
        looks.append(post.look(move_back=True))

    monkeypatch.setattr(aliases, "log_texts", write_and_look)
    told = {"trust": post.trust_file, "password": PASSWORD, "key": keys["anna"], "emergency": "nothing serves"}
    done = promote(f"models:/{post.name}/2", "champion", **told)
    assert [(found.state, found.moved_back) for found in looks] == [("moved", True)]
    assert (done.version, done.replaced, post.champion()) == ("2", unpromoted, "2")
    assert (post.look().state, post.look().number) == ("kept", 1)


def test_an_alias_that_moves_elsewhere_while_a_promotion_is_signed_stays_there(post, monkeypatch):
    keys = key_files(post, "anna")
    monkeypatch.setattr(aliases, "log_texts", lambda *given: (log_texts(*given), post.move("3")))
    told = {"trust": post.trust_file, "password": PASSWORD, "key": keys["anna"], "emergency": "nothing serves"}
    with pytest.raises(RefusedError, match="has moved meanwhile, from version None to 3"):
        promote(f"models:/{post.name}/2", "champion", **told)
    assert post.champion() == "3"


def test_in_an_emergency_one_who_approves_promotes_without_an_audit_for_a_time(post, monkeypatch):
    post.promote("1")
    keys = key_files(post, "anna", "deploy")
    told = {"trust": post.trust_file, "password": PASSWORD, "emergency": "version 1 leaks memory"}
    uri = f"models:/{post.name}/2"
    with pytest.raises(ConfigError, match="would not count"):
        promote(uri, "champion", key=keys["deploy"], **told)
    with pytest.raises(ConfigError, match="needs a reason"):
        promote(uri, "champion", key=keys["anna"], **{**told, "emergency": " "})
    assert post.champion() == "1"
    monkeypatch.setenv("NNPERM_KEY_PASSWORD", PASSWORD)
    arguments = [
        "promote",
        uri,
        "--alias",
        "champion",
        "--emergency",
        "version 1 leaks memory",
        "--key",
        str(keys["anna"]),
    ]
    done = CliRunner().invoke(main, [*arguments, "--trust", str(post.trust_file)])
    assert done.exit_code == 0, done.output
    assert "which version 1 had before (an emergency, without an audit)" in done.stdout
    assert post.champion() == "2"
    found = post.look(move_back=True)
    assert (found.state, found.number) == ("kept", 2)
    (event,) = [each for each in history(post.name, verify=True).events if each.version == "2"]
    assert event.in_words.endswith("in an emergency, without an audit: version 1 leaks memory")
    assert event.is_evidence
    promote(f"models:/{post.name}/3", "champion", key=keys["anna"], audit_within_hours=1e-9, **told)
    found = post.look(move_back=True)
    assert (found.state, found.is_kept, post.champion()) == ("audit overdue", False, "3")


def test_the_command_says_so_by_its_exit_status(post):
    post.promote("1")
    arguments = ["guard", f"models:/{post.name}", "--alias", "champion", "--trust", str(post.trust_file), "--once"]
    arguments += ["--state-dir", str(post.folder / "state"), "--tracking-uri", mlflow.get_tracking_uri()]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    post.move("3")
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 1
    assert "moved: version 3 has it, which no promotion gave it; promotion 1 gave it to 1" in done.stdout
    done = CliRunner().invoke(main, [*arguments, "--move-back"])
    assert (done.exit_code, post.champion()) == (0, "1")


def test_what_the_guard_remembers_cannot_be_lost_unnoticed(post):
    post.promote("1")
    post.look()
    (file,) = (post.folder / "state").iterdir()
    file.write_text("{}x")
    with pytest.raises(ConfigError, match="what the guard remembers cannot be read"):
        post.look()
