# Wheels: one fixed-output derivation each. Its identity is the lock's own sha256, so there is no second
# hash to keep, a changed lock can never leave an old output in use, and environments share what they can.
{ pkgs, system, python }:
let
  hashesOf = lock: builtins.listToAttrs (map
    (found: { name = builtins.head found; value = true; })
    (builtins.filter builtins.isList (builtins.split "sha256:([0-9a-f]+)" (builtins.readFile lock))));

  # pip may be of another Python than the wheel is for, so the wheel's own tags are always given
  flagsOf = file:
    let
      tags = builtins.match ".*-([^-]+)-([^-]+)-([^-]+)[.]whl" file;
      each = flag: i: map (tag: "--${flag} ${tag}")
        (builtins.filter builtins.isString (builtins.split "[.]" (builtins.elemAt tags i)));
      pure = builtins.match "py.*" (builtins.head tags) != null;
    in
    builtins.concatStringsSep " " ([ "--python-version ${python}" ]
      ++ (if builtins.elemAt tags 2 == "any" then [ ] else
    each "platform" 2 ++ each "abi" 1 ++ [ "--implementation ${if pure then "py" else "cp"}" ]));
in
rec {
  # rows of lock/NAME.SYSTEM.json for this Python; evaluation stops when a plan has drifted from its lock
  planOf = name:
    let known = hashesOf (../lock + "/${name}.txt");
    in map
      (wheel: if known ? ${wheel.sha256} then wheel else
      throw "lock/${name}.txt does not list the sha256 of ${wheel.file}: ./just lock")
      (builtins.filter (wheel: builtins.elem python wheel.pythons)
        (builtins.fromJSON (builtins.readFile (../lock + "/${name}.${system}.json"))));

  fetch = wheel: pkgs.runCommand wheel.file
    {
      outputHashMode = "flat";
      outputHashAlgo = "sha256";
      outputHash = wheel.sha256;
      nativeBuildInputs = [ pkgs.python3Packages.pip ];
      preferLocalBuild = true;
      # where wheels come from is the user's configuration, never the repository's
      impureEnvVars = [
        "PIP_INDEX_URL"
        "PIP_EXTRA_INDEX_URL"
        "PIP_FIND_LINKS"
        "PIP_NO_INDEX"
        "PIP_CERT"
        "http_proxy"
        "https_proxy"
        "all_proxy"
        "no_proxy"
      ];
    } ''
    export HOME=$TMPDIR PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
    export SSL_CERT_FILE=${pkgs.cacert}/etc/ssl/certs/ca-bundle.crt
    echo '${wheel.name}==${wheel.version} --hash=sha256:${wheel.sha256}' > pin.txt
    pip download --quiet --no-deps --require-hashes --only-binary :all: ${flagsOf wheel.file} -d got -r pin.txt
    mv got/*.whl $out
  '';

  # the one wheel of a release, by name
  only = name: release: fetch (builtins.head (builtins.filter (wheel: wheel.name == release) (planOf name)));

  # links, so that a large wheel is not stored twice
  houseOf = name: pkgs.runCommand "${name}-wheels" { } (''
    mkdir $out
  '' + builtins.concatStringsSep "" (map
    (wheel: ''
      ln -s ${fetch wheel} $out/${wheel.file}
    '')
    (planOf name)));
}
