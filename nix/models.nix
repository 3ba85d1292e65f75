# Models: what manifest.json lists, as stores of files named by their own digest.
{ pkgs, wheels, environments, library, environment }:
let
  manifest = builtins.fromJSON (builtins.readFile ../manifest.json);
  # small enough for the repository: built here, from weights in models/ and in a wheel read as data
  isHere = file: file ? archive || builtins.pathExists (../. + "/${file.path}")
    || builtins.any (wheel: wheel.file == file.path) (wheels.planOf "models");
  isEmbedded = model: (model.source.files or [ ]) != [ ] && builtins.all isHere model.source.files;
  embedded = builtins.filter isEmbedded manifest.models;

  artifactsOf = model: builtins.concatMap (variant: variant.artifacts or [ ]) model.variants;
  # several variants and models share a file; attribute names are a set
  digestsOf = models: builtins.attrNames (builtins.listToAttrs (map
    (artifact: { name = artifact.sha256; value = true; })
    (builtins.concatMap artifactsOf models)));
  placeOf = digest: "sha256/${builtins.substring 0 2 digest}/${builtins.substring 2 62 digest}";

  # A file that a mirror, a USB archive or a connected machine has; its digest is the manifest's.
  given = model: file:
    let name = builtins.baseNameOf file.path;
    in pkgs.runCommand name
      {
        outputHashMode = "flat";
        outputHashAlgo = "sha256";
        outputHash = file.sha256;
        preferLocalBuild = true;
      } ''
      echo "${file.path} of ${model.id} (sha256 ${file.sha256}) is not in the Nix store." >&2
      echo "Put it there once: nix-store --add-fixed sha256 ${name}" >&2
      echo "${builtins.concatStringsSep " or " ([ "It is in the offline bundle" ] ++ (file.urls or [ ]))}" >&2
      exit 1
    '';

  # a store of artifacts whose digests are known
  linked = model: pkgs.runCommand "model-${model.id}" { } (''
    mkdir $out
  '' + builtins.concatStringsSep "" (map
    (artifact: ''
      mkdir -p $out/$(dirname ${placeOf artifact.sha256})
      ln -sf ${given model artifact} $out/${placeOf artifact.sha256}
    '')
    (artifactsOf model)));

  # first build of a model whose sources are pinned and whose artifacts are not: $out/manifest.json holds
  # the new digests, to be reviewed and committed; $out/store is its store
  sourcesOf = model: builtins.filter (file: ! file ? alternative_to) (model.source.files or [ ]);
  isPinned = model: sourcesOf model != [ ] && builtins.all (file: file ? sha256) (sourcesOf model);
  recorded = model: pkgs.runCommand "model-${model.id}" { } (''
    mkdir home source $out
    cp --no-preserve=mode ${../manifest.json} home/manifest.json
    cp -r ${../lock} home/lock
  '' + builtins.concatStringsSep "" (map
    (file: ''
      mkdir -p source/$(dirname ${file.path})
      ln -s ${given model file} source/${file.path}
    '')
    (sourcesOf model)) + ''
    ${run} GLAGOL_HOME=$PWD/home GLAGOL_STORE=$out/store
    ${glagol} models build ${model.id} --record --source source
    rm -rf $out/store/incoming
    cp home/manifest.json $out/manifest.json
  '');

  run = "export PYTHONPATH=${library} PYTHONNOUSERSITE=1 HOME=$TMPDIR LD_LIBRARY_PATH=${environments.libraries}";
  glagol = "${environment}/bin/python -m glagol.cli";
in
rec {
  # manifest.json, cards, licences and golden clips: what the programs read beside the store
  home = pkgs.runCommand "glagol-home" { } ''
    mkdir $out
    cp ${../manifest.json} $out/manifest.json
    cp -r ${builtins.path {
      path = ../models;
      name = "models";
      filter = path: type: builtins.match ".*[.]safetensors|.*/BUILD" path == null;
    }} $out/models
  '';

  # Built by the forge in the serving environment, then checked again without it: exactly the files that
  # the manifest names, no more.
  store = pkgs.runCommand "glagol-models" { } ''
    mkdir home wheel
    cp ${../manifest.json} home/manifest.json
    cp -r ${../models} home/models
    ${builtins.concatStringsSep "\n" (map
      (wheel: "${environments.python} -m zipfile -e ${wheels.fetch wheel} wheel")
      (wheels.planOf "models"))}
    ${run} GLAGOL_HOME=$PWD/home GLAGOL_STORE=$out
    ${glagol} models build --source wheel ${builtins.concatStringsSep " " (map (model: model.id) embedded)}
    cd $out
    rm -rf incoming
    cat > $TMPDIR/sums <<EOF
    ${builtins.concatStringsSep "\n" (map (digest: "${digest}  ${placeOf digest}")
      (digestsOf embedded))}
    EOF
    sha256sum --check --strict --quiet $TMPDIR/sums
    test $(find . -type f | wc -l) = $(wc -l < $TMPDIR/sums)
  '';

  # recognisers that are not embedded and whose artifacts are known, each beside the embedded models
  beside = map
    (model: {
      inherit (model) id;
      store = pkgs.runCommand "glagol-models-with-${model.id}" { } ''
        mkdir $out
        cp -RP --no-preserve=mode ${store}/. ${linked model}/. $out/
      '';
    })
    (builtins.filter
      (model: ! isEmbedded model && artifactsOf model != [ ]
        && ! builtins.elem (model.role or model.decoding.kind) [ "llm" "vad" "embed" "speakers" ])
      manifest.models);

  # the others, by digest: `nix build .#model-ID` says which files it lacks and how to bring them
  packages = builtins.listToAttrs (map
    (model: {
      name = "model-${model.id}";
      value = if artifactsOf model != [ ] then linked model else recorded model;
    })
    (builtins.filter (model: ! isEmbedded model && (artifactsOf model != [ ] || isPinned model)) manifest.models));
}
