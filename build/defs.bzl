"""The rules of this repository in plain Starlark: no rule set of others, the same from Bazel 4 on."""

Library = provider(
    "Python packages and the data beside them.",
    fields = {
        "files": "depset of files",
        "roots": "depset of entries of PYTHONPATH, from the repository's root",
    },
)

def _library_impl(ctx):
    others = [dep[Library] for dep in ctx.attr.deps]
    return [
        DefaultInfo(files = depset(ctx.files.srcs)),
        Library(
            files = depset(ctx.files.srcs, transitive = [other.files for other in others]),
            roots = depset([ctx.label.package + "/src"], transitive = [other.roots for other in others]),
        ),
    ]

_library = rule(implementation = _library_impl, attrs = {
    "srcs": attr.label_list(allow_files = True),
    "deps": attr.label_list(providers = [Library]),
})

def library(deps = []):
    """A package of packages/: its project file and everything below its src/, and the source of what is compiled."""
    _library(
        name = native.package_name().split("/")[-1],
        srcs = native.glob(["pyproject.toml", "src/**", "native/**"], exclude = ["**/__pycache__/**"]),
        deps = ["//packages/" + dep for dep in deps],
        visibility = ["//visibility:public"],
    )

def files():
    """Everything in a directory, for others to use as data."""
    native.filegroup(
        name = native.package_name().split("/")[-1],
        srcs = native.glob(["**"], exclude = ["BUILD", "**/__pycache__/**"]),
        visibility = ["//visibility:public"],
    )

# Runfiles are links into the source tree, and a test that resolves its own path would follow them out.
# The declared files are copied, so that what was not declared is really not there.
_RUN = """#!/bin/sh
set -eu
runfiles=$(cd "${{RUNFILES_DIR:-$0.runfiles}}/{workspace}" && pwd)
tree=$TEST_TMPDIR/tree
mkdir "$tree"
for entry in "$runfiles"/*; do
    [ "${{entry##*/}}" = external ] || cp -rL "$entry" "$tree"
done
chmod -R u+w "$tree"
cd "$tree"
export PYTHONPATH={path} PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
TMPDIR=$(mktemp -d /tmp/t.XXXXXX) # the path of a socket holds 107 bytes
trap 'rm -rf "$TMPDIR"' EXIT
export HOME="$TEST_TMPDIR" TMPDIR GLAGOL_HOME="$tree"
"$runfiles/{environment}/bin/python" {arguments} "$@"
"""

def _path(deps, prefix):
    return ":".join([prefix + root for dep in deps for root in dep[Library].roots.to_list()])

def _python_test_impl(ctx):
    script = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.write(script, _RUN.format(
        workspace = ctx.workspace_name,
        path = _path(ctx.attr.deps, "$tree/"),
        environment = ctx.files.environment[0].short_path,
        arguments = " ".join(["'%s'" % argument for argument in ctx.attr.argv]),
    ), is_executable = True)
    return [DefaultInfo(executable = script, runfiles = ctx.runfiles(
        files = ctx.files.data + ctx.files.environment,
        transitive_files = depset(transitive = [dep[Library].files for dep in ctx.attr.deps]),
    ))]

python_test = rule(implementation = _python_test_impl, test = True, attrs = {
    "argv": attr.string_list(doc = "arguments of python"),
    "data": attr.label_list(allow_files = True),
    "deps": attr.label_list(providers = [Library]),
    "environment": attr.label(default = "@env_dev//:env", allow_files = True),
})

def tests(deps = [], data = [], srcs = ["**"], exclude = []):
    """The tests of one directory, by pytest, with nothing but what is declared and no network."""
    native.filegroup(
        name = "files",
        srcs = native.glob(srcs, exclude = ["BUILD", "**/__pycache__/**"] + exclude),
        visibility = ["//visibility:public"],
    )
    if not native.glob(["**/test_*.py"]):
        return  # helpers only
    python_test(
        name = "tests",
        argv = ["-m", "pytest", "-p", "no:cacheprovider", native.package_name()],
        data = [":files", "//tests:helpers", "//:pyproject.toml"] + data,
        deps = ["//packages/" + dep for dep in deps],
        size = "large",  # on a slow or busy machine
    )

# The forge writes its artifacts into a store named by digest; it refuses bytes that the manifest does
# not name.
_BUILD = """
set -eu
home=$PWD/{out}.home
mkdir -p "$home"
cp -rL manifest.json models "$home"
export PYTHONPATH={path} PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
export HOME="$home" GLAGOL_HOME="$home" GLAGOL_STORE="$PWD/{out}"
{environment}/bin/python -m glagol.cli models build --missing --source {source}/lib/python3.*/site-packages
rm -rf "$home" {out}/incoming
"""

def _store_impl(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    ctx.actions.run_shell(
        outputs = [out],
        inputs = depset(
            ctx.files.srcs + ctx.files.environment + ctx.files.source,
            transitive = [ctx.attr.builder[Library].files],
        ),
        command = _BUILD.format(
            out = out.path,
            path = _path([ctx.attr.builder], "$PWD/"),
            environment = ctx.files.environment[0].path,
            source = ctx.files.source[0].path,
        ),
        mnemonic = "Forge",
        progress_message = "Building models from their weights",
    )
    return [DefaultInfo(files = depset([out]))]

store = rule(implementation = _store_impl, attrs = {
    "builder": attr.label(default = "//packages/cli", providers = [Library]),
    "environment": attr.label(default = "@env_dev//:env", allow_files = True),
    "source": attr.label(default = "@env_models//:env", allow_files = True),
    "srcs": attr.label_list(allow_files = True),
})

# The same command as ./just bundle-offline, on a clone of the commit.
_PACK = """
set -eu
export HOME=$PWD/{out}.home PYTHONPATH={path} PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
mkdir -p "$HOME"
git clone --quiet "$(readlink -f {commit})" "$HOME/tree"
{environment}/bin/python -m glagol.cli bundle pack --variant {variant} --source "$HOME/tree" \
    --wheels {wheels} --store {store} --output {out} >"$HOME/log" 2>&1 || {{ cat "$HOME/log" >&2; exit 1; }}
rm -rf "$HOME"
"""

def _bundle_impl(ctx):
    out = ctx.actions.declare_directory(ctx.label.name)
    places = {
        name: getattr(ctx.files, name)[0].path
        for name in ["commit", "environment", "store", "wheels"]
    }
    ctx.actions.run_shell(
        outputs = [out],
        inputs = depset(
            ctx.files.commit + ctx.files.environment + ctx.files.store + ctx.files.wheels,
            transitive = [ctx.attr.packer[Library].files],
        ),
        command = _PACK.format(
            out = out.path,
            path = _path([ctx.attr.packer], "$PWD/"),
            variant = ctx.attr.variant,
            **places
        ),
        mnemonic = "Pack",
        progress_message = "Packing the offline bundle",
    )
    return [DefaultInfo(files = depset([out]))]

bundle = rule(implementation = _bundle_impl, attrs = {
    "commit": attr.label(default = "@commit//:git", allow_files = True),
    "environment": attr.label(default = "@env_dev//:env", allow_files = True),
    "packer": attr.label(default = "//packages/cli", providers = [Library]),
    "store": attr.label(default = "//:store"),
    "variant": attr.string(default = "cpu"),
    "wheels": attr.label(default = "@wheels_cpu//:wheels", allow_files = True),
})
