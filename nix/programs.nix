# The programs: one library tree of all packages, and a wrapper for each entry point.
{ pkgs, environments }:
{
  # packages/*/src merged: glagol is one namespace; byte code is written because the store is read-only
  library = pkgs.runCommand "glagol-library" { } ''
    mkdir $out
    cp -r --no-preserve=mode ${builtins.path {
      path = ../packages;
      name = "packages";
      filter = path: type: type == "directory" || builtins.match ".*/src/.*" path != null;
    }}/*/src/. $out
    PYTHONHASHSEED=0 ${environments.python} ${../build/seal.py} --compile $out
  '';

  # GLAGOL_STORE may point to a larger store; libcuda is the machine's driver in every case
  program = { name, module, library, environment, home, store, model ? "" }: pkgs.runCommand name { } ''
    mkdir -p $out/bin
    cat > $out/bin/${name} <<EOF
    #!${pkgs.runtimeShell}
    export PYTHONPATH=${library} PYTHONNOUSERSITE=1
    export LD_LIBRARY_PATH=${environments.libraries}:/run/opengl-driver/lib
    export GLAGOL_HOME=\''${GLAGOL_HOME:-${home}} GLAGOL_STORE=\''${GLAGOL_STORE:-${store}}
    ${if model == "" then "" else "export ASR_MODEL_NAME=\\\${ASR_MODEL_NAME:-${model}}"}
    exec ${environment}/bin/python -m ${module} "\$@"
    EOF
    chmod 755 $out/bin/${name}
  '';
}
