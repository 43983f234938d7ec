"""Facts of the reference, Qianvenh/Text2SQL-Qwen3-1p7B, as it published them."""

from __future__ import annotations

from collections.abc import Mapping

# The first of its training rows: printed by its dataset_process.ipynb and, as tokens, by its training logs.
QUESTION = "What is the total volume of timber sold by each salesperson, sorted by salesperson?"
CONTEXT = (
    "CREATE TABLE salesperson (salesperson_id INT, name TEXT, region TEXT); INSERT INTO salesperson "
    "(salesperson_id, name, region) VALUES (1, 'John Doe', 'North'), (2, 'Jane Smith', 'South'); CREATE "
    "TABLE timber_sales (sales_id INT, salesperson_id INT, volume REAL, sale_date DATE); INSERT INTO "
    "timber_sales (sales_id, salesperson_id, volume, sale_date) VALUES (1, 1, 120, '2021-01-01'), (2, 1, "
    "150, '2021-02-01'), (3, 2, 180, '2021-01-01');"
)
ANSWER = (
    "SELECT salesperson_id, name, SUM(volume) as total_volume FROM timber_sales JOIN salesperson ON "
    "timber_sales.salesperson_id = salesperson.salesperson_id GROUP BY salesperson_id, name ORDER BY "
    "total_volume DESC;"
)
ROW = {"prompt": QUESTION, "context": CONTEXT, "answer": ANSWER}
# How its training file has that row: the system text, and the templates of user text and answer.
SYSTEM = (
    "Given the database schema and the user question, generate the corresponding SQL query. The output must "
    "be only a valid SQL query, without explanations, comments, or extra text."
)
USER = f"\n[SCHEMA]\n{CONTEXT}\n[QUESTION]\n{QUESTION}\n"
# "training example" in logs/qwen3_1p7B_20250830_134800.log: numbers of token ids, and the SHA-256 of
# ",".join(map(str, input_ids))
TOKENS, MASKED = 280, 230
TOKENS_SHA256 = "c58626aa0d7f3653c396ab6bfd9339fb7fc3b689d289b9e35ce587054b6d79d3"
FIRST_LEARNED = [151667, 271, 151668, 271]  # <think>, two line breaks, </think>, two line breaks

# prompt_template and prompt_reference_template of its vllm_infer_config.yaml as YAML reads them
P2 = (
    "<|im_start|>system\n"
    "Given the database schema and the user question, generate the corresponding SQL query.\n"
    "The output must be only a valid SQL query, without explanations, comments, or extra text.\n"
    "<|im_end|>\n"
    "<|im_start|>user\n"
    "[SCHEMA]\n"
    "{schema}\n"
    "[QUESTION]\n"
    "{question}\n"
    "<|im_end|>\n"
    "<|im_start|>assistant\n"
    "<think>\n"
    "\n"
    "</think>\n"
)
P3 = (
    P2.replace(
        "extra text.\n",
        "extra text.\nHere are some reference examples that might help you:\n{reference_list}\n",
    )
    + "\n[ANSWER]\n"
)
# An answer of its large model, and the list of examples in its few-shot prompts
SCHEMA_ANSWER = "<sql>\nCREATE TABLE singer (\n    singer_id INT PRIMARY KEY,\n    age INT\n);\n</sql>"
REFERENCE_LIST = (
    '<reference_list> <reference_item id="0"> [QUESTION] How many cinema do we have? [ANSWER] SELECT '
    'COUNT(*) FROM cinema; </reference_item> <reference_item id="1"> [QUESTION] How many tracks do we have? '
    "[ANSWER] SELECT COUNT(*) FROM track; </reference_item> </reference_list>"
)

# The few-shot prompt in its readme, the list of examples on one line as its code writes it
FEW_SHOT_SCHEMA = (
    "CREATE TABLE stadium ( stadium_id INT PRIMARY KEY, location VARCHAR(255), name VARCHAR(255), "
    "capacity INT, highest INT, lowest INT, average INT ); CREATE TABLE singer ( singer_id INT PRIMARY "
    "KEY, name VARCHAR(255), country VARCHAR(255), song_name VARCHAR(255), song_release_year INT, age "
    "INT, is_male BOOLEAN ); CREATE TABLE concert ( concert_id INT PRIMARY KEY, concert_name "
    "VARCHAR(255), theme VARCHAR(255), stadium_id INT, year INT, FOREIGN KEY (stadium_id) REFERENCES "
    "stadium(stadium_id) ); CREATE TABLE singer_in_concert ( concert_id INT, singer_id INT, PRIMARY KEY "
    "(concert_id, singer_id), FOREIGN KEY (concert_id) REFERENCES concert(concert_id), FOREIGN KEY "
    "(singer_id) REFERENCES singer(singer_id) );"
)
FEW_SHOT_EXAMPLES = (
    (
        "What is the total number of speakers for each language?",
        "SELECT Language, SUM(SpeakerCount) FROM LanguageSpeakers GROUP BY Language;",
    ),
    ("How many cinema do we have?", "SELECT COUNT(*) FROM cinema;"),
    ("How many tracks do we have?", "SELECT COUNT(*) FROM track;"),
    ("How many faculty do we have?", "SELECT COUNT(*) FROM Faculty;"),
)
FEW_SHOT_LINES = (
    "<|im_start|>system",
    "Given the database schema and the user question, generate the corresponding SQL query.",
    "The output must be only a valid SQL query, without explanations, comments, or extra text.",
    "Here are some reference examples that might help you:",
    "<reference_list>"
    ' <reference_item id="0"> [QUESTION] What is the total number of speakers for each language? [ANSWER] '
    "SELECT Language, SUM(SpeakerCount) FROM LanguageSpeakers GROUP BY Language; </reference_item>"
    ' <reference_item id="1"> [QUESTION] How many cinema do we have? [ANSWER] SELECT COUNT(*) FROM cinema; '
    "</reference_item>"
    ' <reference_item id="2"> [QUESTION] How many tracks do we have? [ANSWER] SELECT COUNT(*) FROM track; '
    "</reference_item>"
    ' <reference_item id="3"> [QUESTION] How many faculty do we have? [ANSWER] SELECT COUNT(*) FROM Faculty; '
    "</reference_item>"
    " </reference_list>",
    "<|im_end|>",
    "<|im_start|>user",
    "[SCHEMA]",
    f"<sql> {FEW_SHOT_SCHEMA} </sql>",
    "[QUESTION]",
    "How many singers do we have?",
    "<|im_end|>",
    "<|im_start|>assistant",
    "<think>",
    "",
    "</think>",
    "",
    "[ANSWER]",
    "",
)

_EVERY_YAML: Mapping[str, object] = {
    "model_name_or_path": "/home/qianwenhao/LLM/Qwen3-1.7B",
    "stage": "sft",
    "do_train": True,
    "dataset": "text2sql",
    "template": "qwen3",
    "cutoff_len": 1024,
    "max_samples": 126641,
    "overwrite_cache": True,
    "preprocessing_num_workers": 16,
    "logging_steps": 25,
    "plot_loss": True,
    "overwrite_output_dir": True,
    "learning_rate": 2.0e-5,
    "lr_scheduler_type": "cosine_with_min_lr",
    "lr_scheduler_kwargs": {"min_lr": 1.0e-06},
    "num_train_epochs": 3.0,
    "warmup_ratio": 0.01,
    "weight_decay": 0.01,
    "optim": "adamw_8bit",
    "bf16": True,
    "ddp_timeout": 180000000,
    "seed": 42,
}
_LORA_YAML: Mapping[str, object] = {
    "finetuning_type": "lora",
    "lora_target": "q_proj,v_proj",
    "deepspeed": "config/deepspeed/ds_z3_config.json",
    "output_dir": "saves/qwen3-1.7B/lora/sft",
    "save_steps": 500,
    "gradient_accumulation_steps": 2,
}
# Its YAML files by our section: config/train/qwen3_1p7B_deepspeed_lora_qv.yaml in its last form and as first
# committed, and config/train/qwen3_1p7B_deepspeed_megatron_lora_qv.yaml
YAML: Mapping[str, Mapping[str, object]] = {
    "train_lora32": {
        **_EVERY_YAML,
        **_LORA_YAML,
        "lora_rank": 32,
        "lora_alpha": 32,
        "report_to": "none",
        "per_device_train_batch_size": 8,
    },
    "train_lora128": {
        **_EVERY_YAML,
        **_LORA_YAML,
        "lora_rank": 128,
        "lora_alpha": 256,
        "per_device_train_batch_size": 6,
    },
    "train_full": {
        **_EVERY_YAML,
        "deepspeed": "config/deepspeed/ds_z2_config.json",
        "tensor_model_parallel_size": 2,
        "pipeline_model_parallel_size": 1,
        "sequence_parallel": True,
        "use_distributed_optimizer": True,
        "bias_activation_fusion": True,
        "apply_rope_fusion": False,
        "overlap_param_gather": True,
        "overlap_p2p_comm": False,
        "overlap_grad_reduce": True,
        "use_mca": True,
        "output_dir": "saves/qwen3-1.7B-tp_dp_p2train/",
        "save_steps": 2000,
        "per_device_train_batch_size": 6,
        "gradient_accumulation_steps": 5,
    },
}
