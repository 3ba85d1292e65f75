"""What an offline bundle is made from, as repositories: the commit, and the wheels of its locks."""

def _commit_impl(ctx):
    root = ctx.path(ctx.attr._root).dirname
    clone = ["git", "-c", "safe.directory=*", "clone", "--quiet", "--bare", "--depth", "1", "--no-tags"]
    result = ctx.execute(clone + ["file://%s" % root, "commit.git"])
    if result.return_code:
        fail("a bundle needs a git checkout with a commit: " + result.stderr)

    # one directory: one link in a sandbox
    ctx.file("BUILD", 'filegroup(name = "git", srcs = ["commit.git"], visibility = ["//visibility:public"])\n')

# local: the commit that is checked out may be another one at every build
commit = repository_rule(
    implementation = _commit_impl,
    attrs = {"_root": attr.label(default = "//:manifest.json", allow_single_file = True)},
    local = True,
)

def _wheels_impl(ctx):
    names = ["--system", ctx.attr.system, "files"]
    for plan in ctx.attr.plans:
        ctx.path(Label("//lock:%s.%s.json" % (plan.split("/")[0], ctx.attr.system)))  # fetched anew when it changes
        names.append(plan)
    result = ctx.execute([ctx.which("python3.11") or "python3", ctx.path(ctx.attr._fetch)] + names, timeout = 3600)
    if result.return_code:
        fail("%s: %s" % (ctx.name, result.stderr))
    ctx.file("BUILD", 'filegroup(name = "wheels", srcs = ["files"], visibility = ["//visibility:public"])\n')

# Where wheels come from is the user's configuration; the digests are the wheel plans'.
wheels = repository_rule(
    implementation = _wheels_impl,
    attrs = {
        "plans": attr.string_list(mandatory = True, doc = "as build/wheels takes them"),
        "system": attr.string(default = "x86_64-linux"),
        "_fetch": attr.label(default = "//build:wheels", allow_single_file = True),
    },
    environ = ["PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_NO_INDEX", "UV_DEFAULT_INDEX", "UV_FIND_LINKS"],
)
