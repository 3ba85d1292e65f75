"""A Python environment as a repository, installed by uv from a hash lock and sealed."""

# Where wheels come from is the user's configuration; the hashes are the lock's.
_SETTINGS = ["UV_DEFAULT_INDEX", "UV_FIND_LINKS", "UV_INDEX_URL", "UV_NO_INDEX", "UV_OFFLINE"]

def _environment_impl(ctx):
    uv = ctx.which("uv")
    python = ctx.which("python3.11") or ctx.which("python3")
    if not uv or not python:
        fail("uv and Python 3.11 to 3.14 must be on PATH (./just and nix develop bring uv)")
    quiet = {
        "PYTHONHASHSEED": "0",
        "SOURCE_DATE_EPOCH": "315532800",
        "UV_LINK_MODE": "copy",
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }
    install = [uv, "pip", "install", "--quiet", "--python", "venv/bin/python", "--require-hashes"]
    for command in [
        [uv, "venv", "--quiet", "--no-project", "--relocatable", "--python", python, "venv"],
        install + ["--no-deps", "--only-binary", ":all:", "-r", ctx.path(ctx.attr.lock)],
        [python, ctx.path(ctx.attr._seal), "--compile", "venv"],
    ]:
        result = ctx.execute(command, environment = quiet, timeout = 3600)
        if result.return_code:
            fail("%s: %s" % (ctx.name, result.stderr))

    # the environment is one directory: one link in a sandbox, however large it is
    ctx.file("BUILD", 'filegroup(name = "env", srcs = ["venv"], visibility = ["//visibility:public"])\n')

environment = repository_rule(
    implementation = _environment_impl,
    attrs = {
        "lock": attr.label(mandatory = True, allow_single_file = True),
        "_seal": attr.label(default = "//build:seal.py", allow_single_file = True),
    },
    environ = _SETTINGS,
)
