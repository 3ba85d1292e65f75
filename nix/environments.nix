# Python environments: the wheels of a lock, installed by uv without an index, then sealed so that the
# tree depends on nothing but the wheels and the interpreter.
{ pkgs, wheels, python }:
let
  # a static program out of its wheel
  tool = release: program: pkgs.runCommand program { } ''
    mkdir -p $out/bin unpacked
    ${python} -m zipfile -e ${wheels.only "tools" release} unpacked
    cp unpacked/*.data/scripts/${program} $out/bin/${program}
    chmod 755 $out/bin/${program}
  '';
in
rec {
  inherit python;
  # the C libraries beyond libc that wheels expect of a machine, for LD_LIBRARY_PATH
  libraries = "${pkgs.stdenv.cc.cc.lib}/lib:${pkgs.zlib}/lib";
  uv = tool "uv" "uv";
  just = tool "rust-just" "just";

  make = name: pkgs.runCommand "${name}-environment" { nativeBuildInputs = [ uv ]; } ''
    export HOME=$TMPDIR PYTHONHASHSEED=0 UV_NO_CACHE=1 UV_OFFLINE=1 UV_NO_CONFIG=1
    export UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy
    uv venv --quiet --no-project --relocatable --python ${python} $out
    uv pip install --quiet --python $out/bin/python --no-index --find-links ${wheels.houseOf name} \
      --require-hashes --no-deps --only-binary :all: -r ${../lock + "/${name}.txt"}
    ${python} ${../build/seal.py} --compile $out
  '';
}
