"""params.yaml and the profiles: one typed model; errors name the key and the allowed values."""

import re
from pathlib import Path

import pytest
import yaml

from scripts.profiles import composed
from stages._params import load_params
from tests.small_raw import without_contexts
from text2sql.errors import UserError

ROOT = Path(__file__).parents[2]


def _write(folder: Path, change: dict[str, object]) -> Path:
    """A params.yaml with the embedded profile, without contexts, and `change`, {dotted key: value}."""
    values = without_contexts(yaml.safe_load(composed("embedded")))
    for dotted, value in change.items():
        *path, last = dotted.split(".")
        section = values
        for part in path:
            section = section[part]
        section[last] = value
    file = folder / "params.yaml"
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.mark.parametrize("rate", ["2.0e-5", "2e-5", "0.00002"])
def test_a_small_rate_is_read_as_a_number_from_the_file_that_dvc_exp_run_writes(
    tmp_path: Path, rate: str
) -> None:
    from dvc.utils.hydra import apply_overrides

    file = _write(tmp_path, {})
    apply_overrides(file, [f"lora.learning_rate={rate}"])  # what `-S` does
    assert load_params(file).lora.learning_rate == 2.0e-5


BAD_VALUES = [  # key, value, pattern of the message
    ("prepare.sources", {"a": {"columns": {"question": "nl"}}}, "sources.a.columns: needs question and sql"),
    ("prepare.sources", {"a": {"columns": {"question": "q", "sql": "s"}}}, "needs schema or db_id"),
    ("prepare.sources", {"a": {"columns": {"question": "", "sql": "s", "schema": "t"}}}, "at least 1"),
    ("prepare.sources", {"a": {"dialect": "sybase"}}, "sources.a.dialect: .*'mysql'.*'sybase'"),
    ("prepare.sources", {"a": {"encoding": "utf-9"}}, "sources.a.encoding: unknown encoding"),
    ("prepare.sources", {"a": {"limit": 0}}, "sources.a.limit: .*greater than 0"),
    ("prepare.max_rejected", 101.0, "prepare.max_rejected: .*less than or equal to 100"),
    ("prepare.sql_check", "run", "prepare.sql_check: .*'parse', 'compile' or 'execute'"),
    ("prepare.as_written", True, "prepare.as_written needs prompt.schema_types: true"),
    ("prompt.form", "short", "prompt.form: choose compact, reference or a Jinja2 file in configs/prompts/"),
    ("prompt.form", "configs/prompts/../x.jinja", "prompt.form: choose compact, reference"),
    ("predict.threds", 1, "predict.threds: unknown key; allowed beside it: .*engine.*threads"),
    ("lora.rank", "wide", "lora.rank: .*integer.*'wide'"),
    ("lora.rank", 0, "lora.rank: .*greater than 0"),
    ("fetch_data.source", "folder", "fetch_data.source: unknown key; allowed beside it: .*train, test"),
    ("train_full.learning_rate", "fast", "train_full.learning_rate: .*number.*'fast'"),
    ("train_lora32.rank", 64, "train_lora32.rank must be 32"),
    (
        "train_full.device_batch",
        5,
        "train_full, with training: global_batch must be a multiple of device_batch",
    ),
    ("lora.epochs", 3.0, "lora, with training: set either max_steps or epochs"),
    (
        "training.scheduler",
        "cosine_with_min_lr",
        "train_lora32, with training: set min_learning_rate if, and only if, scheduler",
    ),
    ("fetch_model.tiny.device_batch", 5, "fetch_model.tiny: global_batch must be a multiple of device_batch"),
    ("train_full.deepspeed", "z2", "train_full, with training: optimizer: muon needs complete matrices"),
    ("lora.training", {"seeds": 3}, "lora.training.seeds: unknown key; allowed beside it: .*seed"),
    (
        "lora.training",
        {"validation": {"rows": 5, "every": 5}},
        "lora.training.validation: section training must",
    ),
    ("lora.training", {"seed": "x"}, "lora.training.seed: .*valid integer"),
    ("lora.training", {"max_steps": 3}, "lora: training.max_steps: an arm sets max_steps beside training"),
    (
        "lora.training",
        {"learning_rate": 0.1},
        "lora: training.learning_rate: an arm sets learning_rate beside",
    ),
    ("training.extra", {"seed": 3}, "with training: extra.seed: this follows from the setting seed"),
    ("training.report_to", "visdom", "training.report_to: .*'tensorboard', 'wandb', 'swanlab' or 'mlflow'"),
    ("training.ranks", "all", "training.ranks"),
    ("lora.deepspeed", "z1", "lora.deepspeed: .*'z2', 'z2_offload', 'z3' or 'z3_offload'"),
    ("lora.megatron", {}, "lora.megatron: unknown key; allowed beside it: .*rank, alpha, targets"),
    ("training.save_steps", 0, "training.save_steps: .*greater than 0"),
    ("dedupe_test.near_question", 80, "dedupe_test.near_question: .*less than or equal to 1"),
    ("dedupe_test.embedding", 0, "dedupe_test.embedding: .*greater than 0"),
    ("dedupe_test.same_sql", False, "dedupe_test.same_sql: .*'exact', 'masked' or 'specific'"),
    ("retrieve_examples.candidates", 0, "retrieve_examples.candidates"),
    ("retrieve_examples.rankings", [], "retrieve_examples.rankings: needs at least 1 entry"),
    ("index_examples.milvus_uri", "data/x.db", "index_examples.milvus_uri: needs the address of a server"),
    ("train_full.enabled", False, "arms.full uses models/full"),
    ("convert_schema.values", "rows", "convert_schema.values: .*'none', 'comment' or 'insert'"),
    ("evaluate.metrics", ["em"], "evaluate.metrics: add ex"),
    (
        "evaluate.metrics",
        ["ex", "accuracy"],
        "evaluate.metrics.1: .*'bird_ex', 'soft_f1', 'r_ves' or 'strict'",
    ),
    ("convert_schema.backend", "recorded", "fetch_data.recorded_schemas is needed with convert_schema"),
    (
        "convert_schema.openai.cap_usd",
        5.0,
        "convert_schema.openai: cap_usd limits nothing without prices",
    ),
    (
        "convert_schema",
        {
            "backend": "openai",
            "openai": {
                "base_url": "http://localhost:8000/v1",
                "model": "writer",
                "usd_per_million_in": 0.0,
                "usd_per_million_out": 0.0,
                "cap_usd": 5.0,
            },
        },
        "convert_schema.openai: cap_usd limits nothing without prices",
    ),
    ("fetch_data.test", None, "fetch_data.test: needs keys with values, or {} for none"),
    ("fetch_data.test", {"a": {"file": "a", "revision": "main"}}, "test.a: revision is that of .*: add repo"),
    ("fetch_data.test", {"a": {"file": "a", "repo": "name"}}, "fetch_data.test.a.repo: .*match pattern"),
    ("fetch_data.test", {"a": {"file": ""}}, "fetch_data.test.a.file: .*at least 1"),
    ("fetch_data.test", {"a": {}}, "fetch_data.test.a.file: missing"),
    ("fetch_data.test", {"a": {"file": "/a"}}, "fetch_data.test.a.file: give the path below TEXT2SQL_DATA"),
    ("fetch_data.test", {"a/b": {"file": "a"}}, "fetch_data.test.*should match pattern"),
    (
        "fetch_data.test",
        {"a": {"file": "a", "db": "b"}},
        "test.a.db: unknown key; .*: file, databases, tables",
    ),
    ("fetch_data.test", {"a": {"file": "a", "format": "wikisql"}}, "test.a.format: .*'bird' or 'rows'"),
    ("fetch_data.test", {"a": {"file": "a", "columns": {"sql": "q"}}}, "columns has no entry for question"),
    ("fetch_data.test", {"a": {"file": "a", "columns": {"answer": "q"}}}, "fetch_data.test.a.columns.answer"),
    (
        "fetch_data.test",
        {"a": {"file": "a", "format": "bird", "columns": {"question": "q"}}},
        "fetch_data.test.a: columns goes with format: rows, not with bird",
    ),
    ("fetch_data.train", {"a": {"file": "a"}}, "fetch_data: train names files, so test must"),
    ("fetch_data.train_files", ["a"], "fetch_data.train_files: unknown key; .*: seed, train_rows"),
    ("fetch_data.sha256", {"a": "0" * 64}, "fetch_data: sha256 must be {} where train and test name no"),
    ("convert_schema", {"backend": "openai"}, "convert_schema: openai is needed with backend: openai"),
    ("convert_schema.openai.cap_usd", 0.0, "convert_schema.openai.cap_usd: .*greater than 0"),
    (
        "convert_schema.openai.key",
        "sk",
        "convert_schema.openai.key: unknown key; .*: base_url, .*, model",
    ),
    ("fetch_model.source", "hub", "fetch_model: hub_model is needed with source: hub"),
    ("fetch_data.hub_dataset", "a/b", "fetch_data.hub_dataset: unknown key"),
    ("fetch_model.hub_revision", "", "fetch_model.hub_revision"),
    ("fetch_model.source", "folder", "fetch_model: folder is needed with source: folder"),
    ("fetch_model.folder", 3, "fetch_model.folder"),
    *[
        (
            "fetch_model",
            {"source": "folder", "folder": folder, "tiny": {}},
            f"folder is below {above}/, whose",
        )
        for above in ("models", "data")
        for folder in (f"{above}/base", f"./{above}/base", f"{Path.cwd()}/{above}/base")
    ],
    ("predict.engine", "openai", "predict: endpoint.base_url is needed with engine: openai"),
    ("predict.endpoint.base_url", "http://me:secret@host/v1", "predict.endpoint.base_url"),
    ("predict.endpoint.models", {"models/none": "qwen3"}, "predict.endpoint.models"),
    ("predict.endpoint.key", "secret", "predict.endpoint.key: unknown key; .*base_url, .*models"),
    ("predict.temperature", -0.5, "predict.temperature"),
    ("predict.top_p", 0.0, "predict.top_p"),
    ("arms.full", {"weights": "models/none", "questions": "data/test"}, "arms.full.weights"),
    (
        "arms.a b; touch x",
        {"weights": "models/base", "questions": "data/test"},
        "the name of an arm has letters",
    ),
    ("arms.context", {"weights": "models/base", "questions": "data/test"}, "is none of summary, pairs"),
    ("arms.full.questions", "data/other", "arms.full.questions: no 'data/other'; choose from data/test, "),
    ("arms.full.questions", "data/context/none/test", "no 'data/context/none/test'; .*section contexts"),
    ("arms.full.questions", "data/drafted/none", "no 'data/drafted/none'; .*section drafts what is in"),
    ("arms.rank_by_draft", {"weights": "models/base", "questions": "data/test"}, "is none of summary, pairs"),
    ("drafts.a b", {"predictions": "full"}, "drafts.a b: the name of a ranking has letters, digits"),
    ("drafts", None, "drafts: needs keys with values, or {} for none .found None."),
    ("contexts", None, "contexts: needs keys with values, or {} for none .found None."),
    ("drafts.a", None, "drafts.a: needs keys with values; allowed keys: predictions"),
    ("drafts.a", {}, "drafts.a.predictions: missing"),
    ("drafts.a", {"predictions": "full", "top_k": 3}, "drafts.a.top_k: unknown key; .*predictions"),
    ("drafts.a", {"predictions": "none"}, "drafts.a.predictions: no arm 'none'; choose from baseline, "),
    ("contexts.a b", {"questions": "data/test"}, "contexts.a b: the name of a context has letters, digits"),
    ("contexts.a", None, "contexts.a: needs keys with values; allowed keys: questions, value_hints, "),
    ("contexts.a", {"value_hints": 3}, "contexts.a.questions: missing"),
    ("contexts.a", {"questions": "data/context/a/test"}, "contexts.a.questions: no 'data/context/a/test'"),
    ("contexts.a", {"questions": "data/test", "form": "xml"}, "contexts.a.form: .*'ddl' or 'm_schema'"),
    ("contexts.a", {"questions": "data/test", "link": 0}, "contexts.a.link: .*greater than 0"),
    (
        "contexts.a",
        {"questions": "data/test", "missing_rate": 0.6, "wrong_rate": 0.5},
        "contexts.a: missing_rate and wrong_rate are shares of the same rows",
    ),
    ("arms.summary", {"weights": "models/base", "questions": "data/test"}, "is none of summary, pairs"),
    ("arms.full.wights", "models/base", "arms.full.wights: unknown key; .*weights"),
    ("arms.full.weights", "models/full/", "arms.full.weights: 'models/full/': write it as models/full"),
    ("arms.full.weights", "./models/full", "arms.full.weights: .*write it as models/full"),
    ("arms.full.weights", "my weights", "arms.full.weights: 'my weights': a folder here has letters"),
    ("arms.full.weights", "a;touch", "arms.full.weights: 'a;touch': a folder here has letters"),
    ("arms.full.weights", "models", "arms.full.weights: no model 'models'; choose from models/base, "),
    ("arms.full.predict", {"sampels": 8}, r"arms\.full\.predict\.sampels: unknown key; .*samples"),
    ("arms.full.predict", {"top_p": 0.0}, r"arms\.full\.predict\.top_p: .*greater than 0 \(found 0.0\)"),
    ("arms.full.predict", {"samples": 8}, r"arms\.full\.predict: samples above 1 need a temperature"),
    ("arms.full.predict", {"engine": "openai"}, r"arms\.full\.predict: endpoint\.base_url is needed"),
    ("arms.full.predict", 8, r"arms\.full\.predict: needs keys with values, or {} for none"),
    (
        "arms.full.predict",
        {"engine": "openai", "endpoint": {"base_url": "http://localhost:1/v1"}},
        r"predict\.endpoint\.models has no models/full \(arms\.full\)",
    ),
    (
        "arms.full.predict",
        {"endpoint": {"base_url": "http://me:secret@host/v1"}},
        r"arms\.full\.predict\.endpoint\.base_url: contains a user",
    ),
]
OWN = {"base": "models/base", "data": "data/train", "learning_rate": 1.0e-2, "max_steps": 10}
BAD_OWN = [  # the table `train`, pattern of the message
    ({"mine": {"data": "data/train", "learning_rate": 0.1}}, r"train\.mine\.base: missing"),
    ({"mine": OWN | {"rnk": 8}}, r"train\.mine\.rnk: unknown key; allowed beside it: .*sources, rank"),
    ({"mine": OWN | {"rank": 8}}, r"train\.mine: rank, alpha and targets go together"),
    ({"mine": OWN | {"sources": []}}, r"train\.mine\.sources: .*at least 1"),
    ({"mine": OWN | {"data": "my data"}}, r"train\.mine\.data: 'my data': a folder here has letters"),
    ({"mine": OWN | {"global_batch": 5}}, r"train\.mine, with training: global_batch must be a multiple"),
    (
        {"mine": OWN | {"data": "data/context/hints/train"}},
        r"train\.mine\.data: no 'data/context/hints/train'; contexts with `train: true` .*: none here",
    ),
    ({"full": OWN}, "the name of an arm has letters.*none of base, lora32, lora128, full, lora"),
    ({"base": OWN}, "the name of an arm has letters.*none of base"),
    ({"cards": OWN}, "the name of an arm has letters.*none of base.*cards"),
    ({"a/b": OWN}, "the name of an arm has letters"),
    ({1: OWN}, r"train\.1.*: .*string"),
    (
        {"mine": OWN | {"base": "models/none"}},
        r"train\.mine\.base: no model 'models/none'; choose from models/base, models/full, which",
    ),
    (
        {"mine": OWN | {"base": "models/lora32"}},
        r"train\.mine\.base: models/lora32 is a LoRA adapter.*text2sql merge --adapter models/lora32",
    ),
    (
        {"a": OWN | {"rank": 4, "alpha": 4, "targets": ["all"]}, "b": OWN | {"base": "models/a"}},
        r"train\.b\.base: models/a is a LoRA adapter",
    ),
    ({"a": OWN | {"base": "models/a"}}, r"train\.a\.base: a circle \(models/a from models/a\)"),
    (
        {"a": OWN | {"base": "models/b"}, "b": OWN | {"base": "models/a"}},
        r"train\.a\.base: a circle \(models/a from models/b from models/a\).*models/base; train\.b\.base",
    ),
    (
        {"a": OWN | {"enabled": False}, "b": OWN | {"base": "models/a"}},
        r"train\.b\.base: models/a is not trained, because its training has enabled: false",
    ),
]


def test_an_own_arm_that_cannot_be_trained_is_named(tmp_path: Path) -> None:
    unclear = []
    for table, pattern in BAD_OWN:
        with pytest.raises(UserError) as refusal:
            load_params(_write(tmp_path, {"train": table}))
        if not re.search(pattern, str(refusal.value)):
            unclear.append((pattern, str(refusal.value)))
    assert unclear == []


def test_own_arms_have_recipes_like_the_others(tmp_path: Path) -> None:
    adapter = {"rank": 32, "alpha": 32, "targets": ["all"]}
    own = {"low": OWN | adapter | {"max_steps": 400}, "next": OWN | {"base": "models/full", "ranks": 1}}
    params = load_params(_write(tmp_path, {"train": own}))
    assert params.recipe("train.low") == params.recipe("lora")
    assert params.recipe("train.next").lora is None


def test_an_arm_has_training_settings_of_its_own_key_by_key(tmp_path: Path) -> None:
    values = without_contexts(yaml.safe_load(composed("embedded")))
    values["training"]["ranks"] = "auto"
    own = values["lora"] | {"base": "models/base", "data": "data/train"}
    values["train"] = {"mine": own | {"training": {"seed": 7, "template": "qwen3"}}}
    values["train_full"]["training"] = {"optimizer": "adamw"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    params = load_params(tmp_path / "params.yaml")
    lora, mine, full = (params.recipe(name) for name in ("lora", "train.mine", "train_full"))
    assert mine == lora.replace(seed=7, template="qwen3")
    assert (lora.optimizer, full.optimizer) == ("muon", "adamw")
    assert (mine.ranks, mine.auto_ranks) == (1, True)


def test_the_steps_whose_weights_are_kept_are_compared_with_those_that_the_arm_saves(tmp_path: Path) -> None:
    kept: dict[str, object] = {"lora.training": {"keep_steps": 50}}
    assert load_params(_write(tmp_path, kept | {"lora.save_steps": 25})).recipe("lora").keep_steps == 50
    with pytest.raises(UserError, match=r"lora, with training: keep_steps must be a multiple .*\(100\)"):
        load_params(_write(tmp_path, kept))


def test_the_weights_of_an_arm_can_be_an_own_one_or_a_folder_outside_models(tmp_path: Path) -> None:
    arms = {
        "mine": {"weights": "models/mine", "questions": "data/test"},
        "brought": {"weights": "/mnt/weights/qwen-3", "questions": "data/test"},
        "baseline": {"weights": "models/base", "questions": "data/test"},
    }
    params = load_params(_write(tmp_path, {"train": {"mine": OWN}, "arms": arms}))
    assert params.compared_models() == ["mine"]
    for table in ({}, {"mine": OWN | {"enabled": False}}):
        with pytest.raises(UserError, match=r"arms\.mine.*models/mine"):
            load_params(_write(tmp_path, {"train": table, "arms": arms}))


def test_the_arms_of_the_docs_are_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "your-arms.md").read_text()
    trained, dora, voting = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    params = load_params(_write(tmp_path, trained))
    assert set(params.compared_models()) == set(params.train) == {"small", "longer"}
    params = load_params(_write(tmp_path, dora))
    assert params.recipe("train.dora").extra == {"use_dora": True} != params.recipe("lora").extra
    params = load_params(_write(tmp_path, voting))
    samples = {arm: params.prediction(arm).samples for arm in params.arms}
    assert samples == {"baseline": 1, "full": 1, "full_vote": 8}


def test_the_settings_of_an_arm_replace_those_of_the_section_key_by_key(tmp_path: Path) -> None:
    own = {"samples": 8, "temperature": 0.8, "endpoint": {"concurrency": 2}}
    params = load_params(_write(tmp_path, {"arms.full.predict": own, "predict.endpoint.timeout_s": 7.0}))
    found, section = params.prediction("full"), params.predict
    assert (found.samples, found.temperature, found.max_new_tokens) == (8, 0.8, section.max_new_tokens)
    assert (found.endpoint.concurrency, found.endpoint.timeout_s) == (2, 7.0)
    assert params.prediction("baseline") == section


def test_a_name_that_is_given_twice_is_an_error_with_its_line(tmp_path: Path) -> None:
    file = _write(tmp_path, {})
    text = file.read_text()
    line = "  full: {weights: models/base, questions: data/test}\n"
    file.write_text(text.replace("arms:\n", f"arms:\n{line}{line}"))
    number = file.read_text().splitlines().index("arms:") + 3
    with pytest.raises(
        UserError, match=rf'params\.yaml, line {number}: found duplicate key "full"; give each'
    ):
        load_params(file)


def test_a_bad_value_is_named_with_the_allowed_ones(tmp_path: Path) -> None:
    unclear = []
    for key, value, pattern in BAD_VALUES:
        try:
            load_params(_write(tmp_path, {key: value}))
            message = "accepted"
        except UserError as error:
            message = str(error)
        if not re.search(pattern, message) or "secret@" in message:
            unclear.append((key, value, message))
    assert unclear == []


def test_the_reference_form_needs_an_engine_that_can_begin_the_answer(tmp_path: Path) -> None:
    values: dict[str, object] = {"prompt.form": "reference", "predict.engine": "openai"}
    values |= {"predict.endpoint.base_url": "http://localhost:8000/v1"}
    with pytest.raises(UserError, match=r"form: reference begins the answer, which predict.engine: openai"):
        load_params(_write(tmp_path, values))


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    file = _write(tmp_path, {})
    values = yaml.safe_load(file.read_text())
    del values["training"]["seed"]
    file.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match=r"training\.seed: missing"):
        load_params(file)


def test_for_a_missing_file_and_invalid_yaml_the_error_has_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="make use PROFILE=embedded"):
        load_params(tmp_path / "params.yaml")
    for text in (b"a: [1", "# Größe\na: 1".encode("latin-1"), b"[" * 5000, b"a: " + b"9" * 5000):
        (tmp_path / "params.yaml").write_bytes(text)
        with pytest.raises(UserError, match=r"not YAML in UTF-8[\s\S]*make use"):
            load_params(tmp_path / "params.yaml")


def _endpoint_of_the_docs(folder: Path, arms: list[str]) -> Path:
    page = (ROOT / "docs" / "prediction.md").read_text()
    examples = [yaml.safe_load(text)["predict"] for text in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    (endpoint,) = [example["endpoint"] for example in examples if "endpoint" in example]
    changes = {f"predict.endpoint.{key}": value for key, value in endpoint.items()}
    known = yaml.safe_load(composed("embedded"))["arms"]
    asked = {name: known[name] for name in arms}
    return _write(folder, {**changes, "predict.engine": "openai", "arms": asked})


def test_the_endpoint_of_the_docs_is_valid(tmp_path: Path) -> None:
    params = load_params(_endpoint_of_the_docs(tmp_path, ["baseline", "lora32"]))
    assert params.predict.endpoint.models["models/lora32"] == "lora32"


def test_an_arm_without_a_served_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"predict\.endpoint\.models has no models/full \(arms\.full\)"):
        load_params(_endpoint_of_the_docs(tmp_path, ["baseline", "full"]))


def test_samples_without_a_temperature_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="samples above 1 need a temperature above 0"):
        load_params(_write(tmp_path, {"predict.samples": 8}))


def test_the_test_sets_of_the_docs_are_valid(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "test-sets.md").read_text()
    sets, sources = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", page, re.DOTALL))
    changes = {"fetch_data.test": sets["fetch_data"]["test"]}
    changes |= {f"fetch_data.{key}": value for key, value in sources["fetch_data"].items()}
    params = load_params(_write(tmp_path, changes))
    assert list(params.fetch_data.train) == ["mine"]
    assert len(params.fetch_data.test) == 4


def test_an_arm_with_a_ranking_that_is_not_made_is_refused_with_the_remedy(tmp_path: Path) -> None:
    values = without_contexts(yaml.safe_load(composed("embedded")))
    values["arms"]["rag_rerank_sql"] = {"weights": "models/base", "questions": "data/examples/rerank_sql"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(
        UserError, match=r"no 'data/examples/rerank_sql'; .*retrieve_examples\.rankings names"
    ):
        load_params(tmp_path / "params.yaml")


def test_an_arm_has_the_questions_of_a_context(tmp_path: Path) -> None:
    arm = {"weights": "models/base", "questions": "data/context/mine/test"}
    context = {"questions": "data/examples/rerank", "value_hints": 5, "link": 20, "train": True}
    params = load_params(_write(tmp_path, {"contexts": {"mine": context}, "arms.hinted": arm}))
    assert params.arms["hinted"].questions == "data/context/mine/test"
    assert params.contexts["mine"].missing_rate == params.contexts["mine"].wrong_rate == 0.1


def test_an_arm_and_a_context_have_the_examples_of_a_draft(tmp_path: Path) -> None:
    arm = {"weights": "models/base", "questions": "data/drafted/one"}
    change: dict[str, object] = {
        "drafts": {"one": {"predictions": "full"}, "two": {"predictions": "again"}},
        "contexts": {"mine": {"questions": "data/drafted/two", "value_hints": 5}},
        "arms.again": arm,  # a draft of a draft
        "arms.third": arm | {"questions": "data/context/mine/test"},
    }
    params = load_params(_write(tmp_path, change))
    assert params.drafts["two"].predictions == "again"
    assert params.arms["third"].questions == "data/context/mine/test"


BASE_ARM = {"weights": "models/base", "questions": "data/drafted/a"}
CIRCLES: list[tuple[dict[str, object], str]] = [  # change, the way back
    ({"arms.mine": BASE_ARM}, "data/drafted/a from arm mine from data/drafted/a"),
    (
        {
            "contexts": {"c": {"questions": "data/drafted/a"}},
            "arms.mine": BASE_ARM | {"questions": "data/context/c/test"},
        },
        "data/drafted/a from arm mine from data/context/c/test from data/drafted/a",
    ),
    (
        {
            "contexts": {"c": {"questions": "data/drafted/a", "train": True}},
            "train": {"own": OWN | {"data": "data/context/c/train"}},
            "arms.mine": {"weights": "models/own", "questions": "data/test"},
        },
        "data/drafted/a from arm mine from models/own from data/context/c/train from data/drafted/a",
    ),
    (
        {
            "drafts.b": {"predictions": "other"},
            "arms.other": BASE_ARM,
            "arms.mine": BASE_ARM | {"questions": "data/drafted/b"},
        },
        "data/drafted/a from arm mine from data/drafted/b from arm other from data/drafted/a",
    ),
]


@pytest.mark.parametrize(
    ("change", "way"), CIRCLES, ids=["own questions", "context", "weights", "another ranking"]
)
def test_drafts_that_come_from_their_own_ranking_are_refused(
    tmp_path: Path, change: dict[str, object], way: str
) -> None:
    change = {"drafts": {"a": {"predictions": "mine"}}} | change
    with pytest.raises(UserError) as refusal:
        load_params(_write(tmp_path, change))
    assert f"drafts.a.predictions: a circle ({way}); name an arm whose questions" in str(refusal.value)
