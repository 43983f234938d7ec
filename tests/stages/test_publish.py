"""stages.publish: what would go to the hub and what goes, by the real huggingface_hub against a stand-in."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
import yaml
from click.testing import CliRunner
from huggingface_hub import ModelCard, close_session
from transformers import AutoModelForCausalLM

from stages import publish
from tests.hub_server import COMMIT, Hub, etag, serving
from tests.tiny import tiny_adapter, tiny_qwen3, tiny_tokenizer
from text2sql.files import write_jsonl
from text2sql.inference.chat_tokens import ChatTokens
from text2sql.inference.weights import resolve_weights
from text2sql.prompts import messages
from text2sql.publishing.snippet import model_line

ROOT = Path(__file__).resolve().parents[2]
REPO = "me/text2sql-tiny"
CARD = f"---\nlicense: mit\n---\n# A model\n\n```python\n{model_line('models/NAME')}\n```\n"
WEIGHTS = {
    *("chat_template.jinja", "config.json", "generation_config.json", "model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json"),
}
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/ with a base, a complete model and an adapter."""
    place = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        base = tiny_tokenizer(tiny_qwen3(Path("models/base")))
        (base / "LICENSE").write_text("the licence of the base")
        tiny_tokenizer(tiny_adapter(Path("models/lora"), base))
        tiny_tokenizer(tiny_qwen3(Path("models/full"), seed=5))
    return place


@pytest.fixture
def place(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with models, cards and test questions, a token, and a hub that is not there."""
    (tmp_path / "models").mkdir()
    for model in (built / "models").iterdir():
        (tmp_path / "models" / model.name).symlink_to(model)
    for name in ("full", "lora"):
        card = tmp_path / "models/cards" / f"{name}.md"
        card.parent.mkdir(exist_ok=True)
        card.write_text(CARD.replace("NAME", name))
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    question = {"row": 0, "db_id": "d", "question": "How many?", "ddl": "CREATE TABLE singer (name);"}
    write_jsonl(tmp_path / "data/test/test.jsonl", [question])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEXT2SQL_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("HF_TOKEN", "hf_right")
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(time, "sleep", lambda _: None)
    return tmp_path


@pytest.fixture
def hub(place: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(Hub({}, token="hf_right")) as hub:
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", hub.url)
        yield hub
        close_session()


def run(arm: str = "full", repo: str = REPO, *more: str) -> str:
    done = CliRunner().invoke(publish.main, ["--arm", arm, "--repo", repo, *more])
    assert done.exit_code == 0, done.output
    return done.output


def error_of(arm: str = "full", repo: str = REPO, *more: str) -> str:
    done = CliRunner().invoke(publish.main, ["--arm", arm, "--repo", repo, *more])
    assert done.exit_code == 1 and done.output.splitlines()[-1].startswith("error: "), done.output
    return done.output.splitlines()[-1]


def sent(hub: Hub) -> dict[str, bytes]:
    return hub.repositories[f"model:{REPO}"]


# -- what goes --


def test_the_dry_run_lists_the_card_and_each_file_with_its_size_and_asks_no_hub(
    place: Path, hub: Hub
) -> None:
    said = run()
    assert f'MODEL = "{REPO}"' in said and "license: mit" in said
    for name in {*WEIGHTS, "LICENSE", "README.md"}:
        size = (place / "publish/full" / name).stat().st_size
        assert f"{size:>15,} bytes  publish/full/{name}\n" in said
    assert "in 8 files\n" in said
    assert f"nothing was pushed; add PUSH=1 to push these files to {REPO}" in said
    assert hub.asked == []


def test_push_sends_the_weights_as_they_are_and_the_card_in_one_commit(place: Path, hub: Hub) -> None:
    said = run("full", REPO, "--push")
    assert f"pushed to {hub.url}/{REPO}/commit/{COMMIT}" in said
    assert sent(hub).keys() == {*WEIGHTS, "LICENSE", "README.md"}
    assert sent(hub)["model.safetensors"] == (place / "models/full/model.safetensors").read_bytes()
    card = ModelCard(sent(hub)["README.md"].decode())
    assert f'MODEL = "{REPO}"' in card.text and "## Provenance" in card.text
    assert set(hub.cards) == {sent(hub)["README.md"].decode()}, "the hub checks the card first"


def test_an_adapter_is_merged_and_goes_as_a_complete_model(place: Path, hub: Hub) -> None:
    run("lora", REPO, "--push")
    assert sent(hub).keys() == {*WEIGHTS, "LICENSE", "README.md"}
    merged = AutoModelForCausalLM.from_pretrained("publish/lora")
    base = AutoModelForCausalLM.from_pretrained("models/base")
    query = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(merged.state_dict()[query], base.state_dict()[query])


def test_the_merged_weights_are_made_once(place: Path) -> None:
    run("lora")
    weights = place / "publish/lora/model.safetensors"
    first = weights.resolve(), weights.stat().st_mtime_ns
    run("lora")
    assert (weights.resolve(), weights.stat().st_mtime_ns) == first


def test_a_second_push_sends_only_what_changed(place: Path, hub: Hub) -> None:
    run("full", REPO, "--push")
    hub.asked.clear()
    card = place / "models/cards/full.md"
    card.write_text(card.read_text() + "\nOne more line.\n")
    run("full", REPO, "--push")
    assert not [request for request in hub.asked if request.startswith("PUT")]
    assert "One more line." in sent(hub)["README.md"].decode()


def test_the_card_names_the_commit_of_the_checkout_or_says_that_it_is_unknown(place: Path) -> None:
    assert "Made at an unknown commit of" in run()


# -- what is refused --


@pytest.mark.parametrize(
    ("repo", "expected"),
    [
        ("model", "it has no owner"),
        ("", "not a name of a repository"),
        ("a/b/c", "not a name of a repository"),
        ("me/--x", "not a name of a repository"),
        ("me/a model", "not a name of a repository"),
        ("https://huggingface.co/me/model", "not a name of a repository"),
    ],
)
def test_a_malformed_name_of_a_repository_is_refused_before_anything(
    place: Path, hub: Hub, repo: str, expected: str
) -> None:
    said = error_of("full", repo, "--push")
    assert f"REPO={repo}" in said and expected in said and "owner/name" in said
    assert hub.asked == [] and not (place / "publish").exists()


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ("fulll", "params.yaml has no such arm; choose from baseline, hints, rag_embedding"),
        ("", "params.yaml has no such arm"),
        ("baseline", "its weights, models/base, are not trained here"),
    ],
)
def test_an_unknown_arm_and_one_without_training_are_refused(place: Path, arm: str, expected: str) -> None:
    assert expected in error_of(arm)


def test_an_arm_that_is_not_trained_yet_or_has_no_card_names_the_next_command(place: Path) -> None:
    (place / "models/full").unlink()
    assert "models/full: no such folder; `dvc repro`" in error_of()
    (place / "models/cards/lora.md").unlink()
    assert "models/cards/lora.md: no such file; `dvc repro report`" in error_of("lora")


def test_a_card_whose_code_names_another_model_is_refused(place: Path) -> None:
    (place / "models/cards/full.md").write_text("# by hand")
    assert "its code has no line" in error_of()


def test_without_a_token_nothing_is_asked(place: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    said = error_of("full", REPO, "--push")
    assert "there is no token for the hub; `hf auth login`, or set HF_TOKEN" in said
    assert hub.asked == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_named_with_the_remedy(
    place: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    hub.refusal = status
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    said = error_of("full", REPO, "--push")
    assert f"the hub refuses the token (status {status}); it needs write permission" in said
    assert "hf_wrong" not in said and hub.stored == {}


def test_a_token_that_may_not_write_to_an_existing_repository_is_refused(place: Path, hub: Hub) -> None:
    hub.repositories[f"model:{REPO}"] = {"README.md": b"theirs"}
    hub.token, hub.refusal = "hf_other", 403
    assert "refuses the token (status 403)" in error_of("full", REPO, "--push")
    assert sent(hub) == {"README.md": b"theirs"}


def test_a_card_that_the_hub_refuses_stops_before_any_file_is_sent(place: Path, hub: Hub) -> None:
    hub.card_errors.append('"license" must be one of apache-2.0, mit')
    said = error_of("full", REPO, "--push")
    assert "the hub refuses the files: Invalid metadata in README.md." in said and '"license" must be' in said
    assert hub.stored == {} and sent(hub) == {}


def test_an_interrupted_upload_leaves_the_repository_and_can_be_run_again(place: Path, hub: Hub) -> None:
    hub.broken_uploads = True
    said = error_of("full", REPO, "--push")
    assert (
        "the upload was interrupted" in said and "the repository is unchanged; run the same command" in said
    )
    assert sent(hub) == {}
    hub.broken_uploads = False
    hub.stored[etag((place / "models/full/model.safetensors").read_bytes())] = b"was complete"
    hub.asked.clear()
    run("full", REPO, "--push")
    assert sent(hub)["model.safetensors"] == b"was complete", "it was not sent again"


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_hub_is_not_the_fault_of_the_token(place: Path, hub: Hub, status: int) -> None:
    hub.fail = status, {}
    assert f"the hub fails (status {status})" in error_of("full", REPO, "--push")


def test_a_hub_that_cannot_be_reached_and_the_offline_mode_are_named(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "the upload was interrupted" in error_of("full", REPO, "--push")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    close_session()
    assert "HF_HUB_OFFLINE is set, so nothing can be pushed" in error_of("full", REPO, "--push")
    close_session()


# -- GGUF --


def converter(place: Path, body: str, name: str = "convert_hf_to_gguf.py") -> str:
    """A stand-in for llama.cpp's converter; `out` is the file that it must write."""
    script = place / "llama.cpp" / name
    script.parent.mkdir(exist_ok=True)
    lines = ["import pathlib, sys", "model, out = sys.argv[1], pathlib.Path(sys.argv[3])", body]
    script.write_text("#!/usr/bin/env python3\n" + "\n".join(lines) + "\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return str(script)


WRITES = (
    "assert sys.argv[2::2] == ['--outfile', '--outtype'] and pathlib.Path(model, 'config.json').is_file()"
)
WRITES += "\nout.write_text('gguf of ' + model)"


def test_with_a_converter_there_are_a_gguf_file_and_a_modelfile(place: Path, hub: Hub) -> None:
    run("full", REPO, "--push", "--gguf", converter(place, WRITES))
    assert sent(hub)["full.gguf"] == b"gguf of publish/full"
    lines = sent(hub)["Modelfile"].decode().splitlines()
    assert lines[0] == "FROM ./full.gguf"
    assert 'SYSTEM """Answer the question with one SQLite query."""' in lines
    assert lines[-2:] == ["PARAMETER num_ctx 512", 'PARAMETER stop "<|im_end|>"']
    assert "PARAMETER temperature 0" in lines


def test_the_template_of_the_modelfile_gives_the_prompt_of_the_pipeline(place: Path) -> None:
    run("full", REPO, "--gguf", converter(place, WRITES))
    template = (place / "publish/full/Modelfile").read_text().split('"""')[1]
    schema, question = "CREATE TABLE singer (name);", "How many?"
    filled = template.replace("{{ .System }}", "Answer the question with one SQLite query.")
    filled = filled.replace("{{ .Prompt }}", f"{schema}\n{question}")
    assert filled == ChatTokens(resolve_weights(Path("models/full"))).text(messages(schema, question))
    assert filled.endswith("<think>\n\n</think>\n\n")


def test_a_converter_on_the_path_is_found_and_none_switches_it_off(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{Path(converter(place, WRITES)).parent}:/usr/bin:/bin")
    assert "publish/full/full.gguf" in run()
    assert "full.gguf" not in run("full", REPO, "--gguf", "none")


def test_without_a_converter_a_sentence_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(place))
    said = run()
    assert "no GGUF file: llama.cpp's converter is not named (GGUF=) and not on the PATH" in said
    assert not (place / "publish/full/Modelfile").exists()


def test_a_tokenizer_that_llama_cpp_does_not_know_is_a_warning(place: Path, hub: Hub) -> None:
    body = "raise NotImplementedError('BPE pre-tokenizer was not recognized - update get_vocab_base_pre()')"
    said = run("full", REPO, "--push", "--gguf", converter(place, body))
    assert "warning: publish/full: llama.cpp does not know this model's tokenizer" in said
    assert "full.gguf" not in sent(hub) and "Modelfile" not in sent(hub) and "model.safetensors" in sent(hub)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("sys.exit('Model Foo is not supported')", "cannot convert publish/full: Model Foo is not supported"),
        ("sys.exit(3)", "cannot convert publish/full: it wrote no message"),
        ("pass", "wrote no file"),
    ],
)
def test_a_converter_that_fails_stops_before_anything_is_pushed(
    place: Path, hub: Hub, body: str, expected: str
) -> None:
    assert expected in error_of("full", REPO, "--push", "--gguf", converter(place, body))
    assert hub.asked == [] and not list((place / "publish/full").glob(".*"))


def test_a_converter_that_is_not_there_is_an_error(place: Path) -> None:
    assert "GGUF=/no/such.py: no such file" in error_of("full", REPO, "--gguf", "/no/such.py")
