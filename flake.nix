{
  description = "Glagol: Russian speech recognition that runs offline and says what it ran";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      systems = [ "x86_64-linux" "aarch64-linux" ];
      each = pick: builtins.listToAttrs (map
        (system: {
          name = system;
          value = pick (import ./nix { inherit system; pkgs = nixpkgs.legacyPackages.${system}; });
        })
        systems);
      app = package: description: {
        type = "app";
        program = "${package}/bin/${package.name}";
        meta.description = description;
      };
    in
    {
      packages = each (b: b.packages // { default = b.packages.asr-server; });
      apps = each (b: rec {
        asr-server = app b.packages.asr-server "the recognition server, with the embedded model";
        asr-worker = app b.packages.asr-worker "a worker that takes jobs from the queue";
        llm-server = app b.packages.llm-server "the language-model server; vLLM's environment is the machine's";
        glagol = app b.packages.glagol "the command line";
        default = asr-server;
      });
      checks = each (b: b.checks);
      devShells = each (b: { default = b.shell; });
    };
}
