# The server for machines without Nix: an OCI image, and one squashfs file to mount. Both hold the closure
# and nothing else, and are the same bytes for the same closure.
{ pkgs, environments }:
let
  # nix writes the graph as: path, deriver, number of references, references; paths sort out of it
  closureOf = package: {
    exportReferencesGraph = [ "graph" package ];
  };
  paths = "grep -x '${builtins.storeDir}/[a-z0-9]*-.*' graph | grep -v '[.]drv$' | sort -u > paths";
in
package: {
  oci = pkgs.runCommand "${package.name}-oci.tar" (closureOf package) ''
    ${paths}
    ${environments.python} ${../build/image.py} image.tar --paths paths --program ${package}/bin/${package.name}
    mv image.tar $out
  '';

  squashfs = pkgs.runCommand "${package.name}.squashfs"
    (closureOf package // { nativeBuildInputs = [ pkgs.squashfsTools ]; }) ''
    ${paths}
    unset SOURCE_DATE_EPOCH
    mksquashfs $(cat paths) $out -no-strip -all-root -mkfs-time 0 -all-time 0 -processors 1 -no-progress -quiet
  '';
}
