"""Open models by id: verified bytes and their provenance. All code opens models through this."""

from __future__ import annotations

import difflib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from glagol.core.errors import InputError, IntegrityError
from glagol.core.files import host_error
from glagol.registry.manifest.read import parse
from glagol.registry.manifest.rules import role_of
from glagol.registry.store import Blob, Store, Trust

if TYPE_CHECKING:
    from collections.abc import Mapping

    from glagol.core.settings import ServerSettings
    from glagol.registry.manifest.types import Manifest, Model, Variant

NEAR_MAX = 3  # names that are suggested for an unknown one


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model that was opened: every byte of it verified.

    Attributes:
        model: the manifest entry.
        variant: the build that was opened.
        blobs: verified bytes by artifact path, in manifest order.
        manifest_version: version of the manifest that named the blobs.
        manifest_sha256: digest of that manifest's bytes.
    """

    model: Model
    variant: Variant
    blobs: Mapping[str, Blob]
    manifest_version: int
    manifest_sha256: str


@dataclass(frozen=True, slots=True)
class Registry:
    """A manifest and the store that should hold what it names.

    Attributes:
        manifest: what may be opened.
        manifest_sha256: digest of its bytes.
        store: where the bytes are.
        trust: how they are verified at each open.
    """

    manifest: Manifest
    manifest_sha256: str
    store: Store
    trust: Trust = Trust.rehash

    @classmethod
    def load(
        cls,
        home: Path,
        store: Path | None = None,
        trust: Trust = Trust.rehash,
        manifest: Path | None = None,
    ) -> Registry:
        """Read the manifest.

        Args:
            home: directory of manifest.json.
            store: directory of the store; None means HOME/store.
            trust: how artifacts are verified.
            manifest: its path; None means HOME/manifest.json.

        Returns:
            The registry. Nothing is opened yet, and the store need not exist.

        Raises:
            InputError: `setting_invalid`, there is no manifest.
            IntegrityError: `manifest_invalid` or `manifest_too_new`.
            HostError: `host_io`, the manifest cannot be read.
        """
        path = home / "manifest.json" if manifest is None else manifest
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise InputError(
                "setting_invalid",
                f"there is no {path}",
                "set --home or GLAGOL_HOME to the directory of manifest.json"
                if manifest is None
                else "set MODEL_REGISTRY_PATH, with its prefix, to the path of the manifest",
            ) from error
        except OSError as error:
            raise host_error(error, path) from error
        return cls(
            manifest=parse(data),
            manifest_sha256=hashlib.sha256(data).hexdigest(),
            store=Store(home / "store" if store is None else store),
            trust=trust,
        )

    @classmethod
    def of(cls, settings: ServerSettings, environment: Mapping[str, str]) -> Registry:
        """The registry of a server; raises as `load`.

        Args:
            settings: The operator's.
            environment: `GLAGOL_HOME`, else the working directory; `GLAGOL_STORE`.
        """
        store, manifest = environment.get("GLAGOL_STORE"), settings.model_registry_path
        return cls.load(
            home_of(environment),
            Path(store) if store else None,
            Trust(settings.trust),
            Path(manifest) if manifest else None,
        )

    def model(self, name: str) -> Model:
        """The entry of a model id or alias.

        Raises:
            InputError: `model_unknown`, listing the known ids.
        """
        for model in self.manifest.models:
            if name == model.id or name in model.aliases:
                return model
        near = _near(
            name, [n for model in self.manifest.models for n in (model.id, *model.aliases)]
        )
        known = ", ".join(sorted(model.id for model in self.manifest.models))
        remedy = f"use one of the known ids: {known}"
        if near:
            remedy = f"did you mean {' or '.join(near)}? use one of the known ids: {known}"
        raise InputError("model_unknown", f"no model is called {name!r}", remedy)

    def variant(self, model: Model, variant_id: str | None = None) -> Variant:
        """A build of a model; without an id the first one that has artifacts.

        Raises:
            InputError: `option_invalid`, the model has no such variant.
            IntegrityError: `artifact_unpinned`, the variant is declared but was never built.
        """
        if variant_id is None:
            built = [variant for variant in model.variants if variant.artifacts]
            found = (built or list(model.variants))[0]
        else:
            by_id = {variant.id: variant for variant in model.variants}
            if variant_id not in by_id:
                raise InputError(
                    "option_invalid",
                    f"{model.id} has no variant {variant_id!r}",
                    f"use one of its variants: {', '.join(by_id)}",
                )
            found = by_id[variant_id]
        if not found.artifacts:
            how = "fetch" if role_of(model) == "llm" else "build"
            options = "--record" if how == "fetch" else "--fetch --record"
            raise IntegrityError(
                "artifact_unpinned",
                f"{found.id} of {model.id} has no digests in the manifest: {model.unpinned}",
                f"run `glagol models {how} {model.id} {options}` on a connected machine, "
                "then review and commit manifest.json",
            )
        return found

    def open(self, name: str, variant_id: str | None = None) -> OpenModel:
        """Map and verify every artifact of a model.

        Args:
            name: model id or alias.
            variant_id: build to open; None takes the first one that has artifacts.

        Returns:
            The open model.

        Raises:
            InputError: `model_unknown` or `option_invalid`.
            IntegrityError: `artifact_unpinned`, `artifact_missing` or `artifact_altered`.
            HostError: `host_io`, a file cannot be read.
        """
        model = self.model(name)
        variant = self.variant(model, variant_id)
        blobs = {
            artifact.path: self.store.open(
                artifact, self.trust, model_id=model.id, built=model.builder is not None
            )
            for artifact in variant.artifacts
        }
        return OpenModel(
            model=model,
            variant=variant,
            blobs=MappingProxyType(blobs),
            manifest_version=self.manifest.manifest_version,
            manifest_sha256=self.manifest_sha256,
        )


def home_of(environment: Mapping[str, str]) -> Path:
    """The directory of manifest.json that `GLAGOL_HOME` names, else the working directory."""
    return Path(environment.get("GLAGOL_HOME") or ".").absolute()


def _near(name: str, known: list[str]) -> list[str]:
    """Up to three suggestions for an unknown name: names that it begins, then similar ones."""
    begun = sorted(each for each in known if name and each.startswith(name.lower()))
    alike = difflib.get_close_matches(name.lower(), known, NEAR_MAX)
    return list(dict.fromkeys([*begun, *alike]))[:NEAR_MAX]
