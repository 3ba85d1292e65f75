# Models: what manifest.json lists, as stores of files named by their own digest.
{ pkgs, wheels, environments, library, environment }:
let
  manifest = builtins.fromJSON (builtins.readFile ../manifest.json);
  # small enough for the repository: built here, from weights in models/ and in a wheel read as data
  isEmbedded = model: builtins.elem model.id [ "gigaam-nano" "gigaam-nano-rnnt" "silero-vad" ];
  embedded = builtins.filter isEmbedded manifest.models;

  artifactsOf = model: builtins.concatMap (variant: variant.artifacts or [ ]) model.variants;
  # several variants and models share a file; attribute names are a set
  digestsOf = models: builtins.attrNames (builtins.listToAttrs (map
    (artifact: { name = artifact.sha256; value = true; })
    (builtins.concatMap artifactsOf models)));
  placeOf = digest: "sha256/${builtins.substring 0 2 digest}/${builtins.substring 2 62 digest}";

  # A file that a mirror, a USB archive or a connected machine has; its digest is the manifest's.
  given = model: artifact: pkgs.runCommand (builtins.baseNameOf artifact.path)
    {
      outputHashMode = "flat";
      outputHashAlgo = "sha256";
      outputHash = artifact.sha256;
      preferLocalBuild = true;
    } ''
    echo "${artifact.path} of ${model.id} is not in the Nix store. Put it there once:" >&2
    echo "  nix-store --add-fixed sha256 DIRECTORY/${builtins.baseNameOf artifact.path}" >&2
    echo "  (sha256 ${artifact.sha256}; glagol models fetch ${model.id} brings it to DIRECTORY)" >&2
    exit 1
  '';

  storeOf = model: pkgs.runCommand "model-${model.id}" { } (''
    mkdir $out
  '' + builtins.concatStringsSep "" (map
    (artifact: ''
      mkdir -p $out/$(dirname ${placeOf artifact.sha256})
      ln -sf ${given model artifact} $out/${placeOf artifact.sha256}
    '')
    (artifactsOf model)));
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
    ${environments.python} -m zipfile -e ${wheels.only "models" "silero-vad"} wheel
    export PYTHONPATH=${library} PYTHONNOUSERSITE=1 HOME=$TMPDIR
    export LD_LIBRARY_PATH=${pkgs.stdenv.cc.cc.lib}/lib GLAGOL_HOME=$PWD/home GLAGOL_STORE=$out
    ${environment}/bin/python -m glagol.cli models build --source wheel ${
      builtins.concatStringsSep " " (map (model: model.id) embedded)}
    cd $out
    rm -rf incoming
    cat > $TMPDIR/sums <<EOF
    ${builtins.concatStringsSep "\n" (map (digest: "${digest}  ${placeOf digest}")
      (digestsOf embedded))}
    EOF
    sha256sum --check --strict --quiet $TMPDIR/sums
    test $(find . -type f | wc -l) = $(wc -l < $TMPDIR/sums)
  '';

  # the others, where their artifacts' digests are known
  packages = builtins.listToAttrs (map
    (model: { name = "model-${model.id}"; value = storeOf model; })
    (builtins.filter (model: ! isEmbedded model && artifactsOf model != [ ]) manifest.models));
}
