{
  description = "This machine's own tools under the names that nix/ takes from nixpkgs";

  # A stand-in: it proves the flake where nixpkgs is out of reach (build/nix-host). Everything above the
  # interpreter is then as hermetic as ever; interpreter, shell and C library are the machine's own /usr,
  # enter no hash, and must be on every machine that an exported closure is carried to.
  outputs = { self }:
    let
      shell = "/bin/bash";
      make = system:
        let
          binOf = packages: builtins.concatStringsSep ":" (map (p: "${p}/bin") packages);
          runCommand = name: settings: script: derivation ({
            inherit name system script;
            builder = shell;
            args = [ "-euo" "pipefail" "-c" ''umask 022; cd "$NIX_BUILD_TOP"; eval "$script"'' ];
            PATH = binOf (settings.nativeBuildInputs or [ ]) + ":/usr/bin:/bin";
            LC_ALL = "C.UTF-8";
            SOURCE_DATE_EPOCH = "315532800";
          } // builtins.removeAttrs settings [ "nativeBuildInputs" ]);
          programs = name: names: runCommand name { } ''
            mkdir -p $out/bin
            for program in ${builtins.concatStringsSep " " names}; do
              ln -s /usr/bin/$program $out/bin/$program
            done
          '';
        in
        {
          inherit runCommand;
          runtimeShell = shell;
          python311 = programs "python" [ "python3.11" ];
          python312 = programs "python" [ "python3.12" ];
          python313 = programs "python" [ "python3.13" ];
          python314 = programs "python" [ "python3.14" ];
          python3Packages.pip = programs "pip" [ "pip" ];
          squashfsTools = programs "squashfs" [ "mksquashfs" ];
          cacert = runCommand "cacert" { } ''
            mkdir -p $out/etc/ssl/certs
            ln -s /etc/ssl/certs/ca-certificates.crt $out/etc/ssl/certs/ca-bundle.crt
          '';
          stdenv.cc.cc.lib = runCommand "gcc-libraries" { } "mkdir -p $out/lib";
          zlib = runCommand "zlib" { } "mkdir -p $out/lib";
          mkShellNoCC = settings: runCommand "shell"
            {
              outputs = [ "out" ];
              shellHook = "export PATH=${binOf settings.packages}:$PATH";
            } "mkdir $out";
        };
    in
    {
      legacyPackages = builtins.listToAttrs (map
        (system: { name = system; value = make system; })
        [ "x86_64-linux" "aarch64-linux" ]);
    };
}
