"""Engines are named in their own folders only, so that a new family is one folder and one row."""

from __future__ import annotations

from tidy import ROOT, inside, module_name, sources, where

# By the word that names an engine, the only modules that may say it, comments included. The
# manifest's `engine` is looked up in a table of families; everything else knows roles and traits.
# `vllm` is also a program with flags and an environment of its own, which operators see.
HOMES = (
    "glagol.speech.engines",
    "glagol.speech.vad",
    "glagol.forge.families",
    "glagol.forge.nano",
)
NAMED_IN = {
    "gigaam": HOMES,
    "whisper": HOMES,
    "silero": HOMES,
    "vllm": (
        "glagol.llm",
        "glagol.models.gpu_plan",
        "glagol.cli.env_checks.llm",
        "glagol.cli.commands.env_check",
        "glagol.cli.commands.models_edit",
        "glagol.cli.commands.plan_gpu",
        "glagol.cli.commands.servers.commands",
    ),
}
# OpenAI's name of a model, which its clients send: data of that route.
ALIAS = "whisper-1"
ALIAS_IN = ("glagol.asr.openai.transcriptions", "glagol.asr.http.openapi")


def named(module: str, text: str) -> list[str]:
    """Engines that a module's text names and must not: in names, strings and comments."""
    if inside(module, ALIAS_IN):
        text = text.replace(ALIAS, "")
    lowered = text.casefold()
    return [name for name, home in NAMED_IN.items() if name in lowered and not inside(module, home)]


def test_engines_are_named_in_their_own_folders() -> None:
    """No other module of a package does, nor the Nix file of the models."""
    wrong = [
        f"{where(path)} names {name}"
        for path in sources()
        for name in named(module_name(path), path.read_text(encoding="utf-8"))
    ]
    nix = ROOT / "nix/models.nix"
    wrong += [f"{where(nix)} names {name}" for name in NAMED_IN if name in nix.read_text()]
    assert not wrong


def test_the_rule_sees_what_it_must() -> None:
    """A comment counts, an alias is allowed in its place only, a family's folder is free."""
    assert named("glagol.asr.app", "x = 1  # as Whisper has it") == ["whisper"]
    assert named("glagol.asr.app", 'MODEL = "whisper-1"') == ["whisper"]
    assert named("glagol.asr.openai.transcriptions", 'A = "whisper-1"; B = vLLM') == ["vllm"]
    assert named("glagol.speech.pipeline.recognizer", "import gigaam") == ["gigaam"]
    assert not named("glagol.speech.engines.whisper.family", "whisper")


def test_allowed_places_exist() -> None:
    """A place that no module has any more would hide one that comes later."""
    modules = {module_name(path) for path in sources()}
    places = {*ALIAS_IN, *(place for home in NAMED_IN.values() for place in home)}
    assert not [place for place in places if not any(inside(name, (place,)) for name in modules)]
