# What `nix flake check` runs: the tests of every package and the first transcript, with no network.
{ pkgs, environments, dev, glagol, home, store }:
let
  manifest = builtins.fromJSON (builtins.readFile ../manifest.json);
  default = builtins.head (builtins.filter (model: model.id == manifest.defaults.asr) manifest.models);

  # a browser needs more of a machine than a sandbox has
  testsOf = folder: pkgs.runCommand "tests-${folder}" { } ''
    cp -r --no-preserve=mode ${../docs} docs
    cp -r --no-preserve=mode ${../examples} examples
    cp -r --no-preserve=mode ${../lock} lock
    cp -r --no-preserve=mode ${../models} models
    cp -r --no-preserve=mode ${../packages} packages
    cp -r --no-preserve=mode ${../tests} tests
    cp --no-preserve=mode ${../manifest.json} manifest.json
    cp --no-preserve=mode ${../manifest.schema.json} manifest.schema.json
    cp --no-preserve=mode ${../pyproject.toml} pyproject.toml
    ln -s ${store} store
    export HOME=$TMPDIR PYTHONDONTWRITEBYTECODE=1 GLAGOL_HOME=$PWD
    export PYTHONPATH=$(echo packages/*/src | tr ' ' :) LD_LIBRARY_PATH=${environments.libraries}
    ${dev}/bin/python -m pytest -n 2 -p no:cacheprovider \
      --ignore tests/asr/test_browser.py tests/${folder}
    touch $out
  '';

  isTest = name: builtins.match "test_.*[.]py" name != null;
  # a folder holds tests itself or in a folder below it
  holdsTests = path: let entries = builtins.readDir path; in builtins.any
    (name: if entries.${name} == "directory" then holdsTests (path + "/${name}") else isTest name)
    (builtins.attrNames entries);
  top = builtins.readDir ../tests;
  folders = builtins.filter (name: top.${name} == "directory" && holdsTests (../tests + "/${name}"))
    (builtins.attrNames top);
in
builtins.listToAttrs (map (name: { name = "tests-${name}"; value = testsOf name; }) folders) // {
  # the known-answer clip through the installed program, word for word
  transcript = pkgs.runCommand "transcript" { } ''
    cd ${home}
    ${glagol}/bin/glagol models verify ${default.id}
    ${glagol}/bin/glagol transcribe --format text ${default.golden.audio} > $TMPDIR/transcript
    diff -u ${default.golden.transcript} $TMPDIR/transcript
    touch $out
  '';
}
