{
  description = "Glagol: Russian speech recognition that runs offline and says what it ran";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      of = python: system: import ./nix { inherit system python; pkgs = nixpkgs.legacyPackages.${system}; };
      forEach = make: builtins.listToAttrs (map (system: { name = system; value = make system; }) systems);
      each = pick: forEach (system: pick (of "3.11" system));
      app = package: description: {
        type = "app";
        program = "${package}/bin/${package.name}";
        meta.description = description;
      };
    in
    {
      # the same for other Pythons: nix build .#python313.asr-server
      legacyPackages = forEach (system: {
        python311 = (of "3.11" system).packages;
        python312 = (of "3.12" system).packages;
        python313 = (of "3.13" system).packages;
        python314 = (of "3.14" system).packages;
      });
      packages = each (b: b.packages // { default = b.packages.asr-server; });
      apps = each (b: builtins.mapAttrs
        (name: package: app package "the recognition server, with the model of its name as the default")
        b.servers // rec {
        asr-server = app b.packages.asr-server "the recognition server, with the embedded model";
        asr-worker = app b.packages.asr-worker "a worker that takes jobs from the queue";
        llm-server = app b.packages.llm-server "the language-model server; vLLM's environment is the machine's";
        embed-server = app b.packages.embed-server "the server that turns texts into vectors";
        rag-server = app b.packages.rag-server "the server that searches transcripts";
        gateway-server = app b.packages.gateway-server "pages and a library in front of the other servers";
        glagol = app b.packages.glagol "the command line";
        default = asr-server;
      });
      checks = each (b: b.checks);
      devShells = each (b: { default = b.shell; });
    };
}
