# What the flake offers, for one system. Of nixpkgs only these are used, so that nix/host can stand in:
# cacert, mkShellNoCC, python3Packages.pip, python311 to python314, runCommand, runtimeShell, squashfsTools, stdenv.cc.cc.lib, zlib
{ pkgs, system, python ? "3.11" }:
let
  wheels = import ./wheels.nix { inherit pkgs system python; };
  interpreter = pkgs.${"python" + builtins.replaceStrings [ "." ] [ "" ] python};
  environments = import ./environments.nix { inherit pkgs wheels; python = "${interpreter}/bin/python${python}"; };
  programs = import ./programs.nix { inherit pkgs environments; };
  inherit (programs) library;

  cpu = environments.make "asr-cpu";
  dev = environments.make "dev";
  models = import ./models.nix { inherit pkgs wheels environments library; environment = cpu; };
  images = import ./images.nix { inherit pkgs environments; } (program cpu "asr-server" "glagol.asr");
  program = environment: name: module: programs.program {
    inherit name module library environment;
    inherit (models) home store;
  };
in
rec {
  packages = {
    asr-server = program cpu "asr-server" "glagol.asr";
    asr-worker = program cpu "asr-worker" "glagol.asr.worker";
    asr-server-cuda = program (environments.make "asr-cuda") "asr-server" "glagol.asr";
    asr-worker-cuda = program (environments.make "asr-cuda") "asr-worker" "glagol.asr.worker";
    llm-server = program cpu "llm-server" "glagol.llm";
    embed-server = program cpu "embed-server" "glagol.embed";
    rag-server = program cpu "rag-server" "glagol.rag";
    gateway-server = program cpu "gateway-server" "glagol.gateway";
    glagol = program cpu "glagol" "glagol.cli";
    environment = cpu;
    models = models.store;
    image = images.oci;
    squashfs = images.squashfs;
  } // models.packages // servers;

  # asr-server with another recogniser as its default: nix run .#asr-server-with-ID
  servers = builtins.listToAttrs (map
    (one: {
      name = "asr-server-with-${one.id}";
      value = programs.program {
        name = "asr-server";
        module = "glagol.asr";
        environment = cpu;
        model = one.id;
        inherit library;
        inherit (models) home;
        inherit (one) store;
      };
    })
    models.beside);

  checks = import ./checks.nix {
    inherit pkgs environments dev;
    inherit (packages) glagol;
    inherit (models) home store;
  };

  shell = pkgs.mkShellNoCC { packages = [ interpreter environments.uv environments.just ]; };
}
