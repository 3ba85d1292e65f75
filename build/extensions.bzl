"""The repositories for MODULE.bazel; Bazel 4 reads WORKSPACE and knows no extensions."""

load("//build:commit.bzl", "commit", "wheels")
load("//build:env.bzl", "environment")

def _environments_impl(ctx):
    for module in ctx.modules:
        for lock in module.tags.lock:
            environment(name = lock.name, lock = lock.file)

environments = module_extension(
    implementation = _environments_impl,
    tag_classes = {"lock": tag_class(attrs = {
        "file": attr.label(mandatory = True),
        "name": attr.string(mandatory = True),
    })},
)

def _bundles_impl(_ctx):
    commit(name = "commit")
    wheels(name = "wheels_cpu", plans = ["asr-cpu", "tools/uv"])

bundles = module_extension(implementation = _bundles_impl)
