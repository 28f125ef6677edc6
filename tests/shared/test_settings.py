import base64

import pytest

from astra.runtime.settings import MailSettings, Settings, SettingsError, load
from astra.vault.settings import OpeningSettings
from erasure.settings import ErasureSettings, RollCallSettings
from notices.settings import BounceSettings
from tlog.settings import LogSettings

LOG = ("LOG_KEY", "WITNESS_URL", "WITNESS_BUCKET", "WITNESS_KEY_ID", "WITNESS_SECRET")
KEY = base64.b64encode(bytes(range(32))).decode()


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "PSEUDONYM_KEY",
        "CERTIFICATE_KEY",
        "LOCAL_KMS_KEY",
        "KMS_URI",
        "REDIS_URL",
        "SMTP_URL",
        "BOUNCE_SECRET",
        *LOG,
    ):
        monkeypatch.delenv(f"ASTRA_{name}", raising=False)
    monkeypatch.delenv("FUNCTIONS_EMULATOR", raising=False)


def test_everything_missing_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refusal:
        load(ErasureSettings)
    for name in ("ASTRA_PSEUDONYM_KEY", "ASTRA_CERTIFICATE_KEY", "ASTRA_REDIS_URL"):
        assert f"{name} is missing" in str(refusal.value)


@pytest.mark.parametrize("value", ["hunter2", KEY[:-8], "not base64 at all!"])
def test_a_bad_key_is_named_and_never_quoted(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("ASTRA_PSEUDONYM_KEY", value)
    with pytest.raises(SettingsError, match="ASTRA_PSEUDONYM_KEY must be") as refusal:
        load(Settings)
    assert value not in str(refusal.value)
    assert refusal.value.__cause__ is None


def test_a_key_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRA_PSEUDONYM_KEY", KEY)
    settings = load(Settings)
    assert settings.pseudonym_key.get_secret_value() == bytes(range(32))
    assert KEY not in repr(settings)
    assert "\\x01" not in repr(settings)


def sealing(monkeypatch: pytest.MonkeyPatch, kms: str, redis: str, *, emulated: bool = False) -> OpeningSettings:
    monkeypatch.setenv("ASTRA_PSEUDONYM_KEY", KEY)
    monkeypatch.setenv("ASTRA_LOCAL_KMS_KEY", KEY)
    monkeypatch.setenv("ASTRA_KMS_URI", kms)
    monkeypatch.setenv("ASTRA_REDIS_URL", redis)
    if emulated:
        monkeypatch.setenv("FUNCTIONS_EMULATOR", "true")
    return load(OpeningSettings)


def test_the_local_key_is_refused_outside_the_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="refused outside the emulators"):
        sealing(monkeypatch, "local", "rediss://redis.example:6380/0")


def test_redis_without_tls_is_refused_outside_the_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="rediss://"):
        sealing(monkeypatch, "gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "redis://redis.example/0")


def test_mail_without_tls_is_refused_outside_the_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRA_PSEUDONYM_KEY", KEY)
    monkeypatch.setenv("ASTRA_REDIS_URL", "rediss://redis.example:6380/0")
    monkeypatch.setenv("ASTRA_SMTP_URL", "smtp://astra:hunter2@mail.example")
    with pytest.raises(SettingsError, match="smtps://") as refusal:
        load(MailSettings)
    assert "hunter2" not in str(refusal.value)
    monkeypatch.setenv("ASTRA_SMTP_URL", "smtps://astra:hunter2@mail.example")
    assert "hunter2" not in repr(load(MailSettings))


def test_what_reports_of_bounces_are_signed_with_must_be_such_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASTRA_PSEUDONYM_KEY", KEY)
    monkeypatch.setenv("ASTRA_REDIS_URL", "rediss://redis.example:6380/0")
    monkeypatch.setenv("ASTRA_BOUNCE_SECRET", "hunter2")
    with pytest.raises(SettingsError, match="ASTRA_BOUNCE_SECRET must be whsec_") as refusal:
        load(BounceSettings)
    assert "hunter2" not in str(refusal.value)
    monkeypatch.setenv("ASTRA_BOUNCE_SECRET", f"whsec_{KEY}")
    assert KEY not in repr(load(BounceSettings))


def test_a_witness_without_tls_and_a_log_without_a_name_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as refusal:
        load(LogSettings)
    for name in LOG:
        assert f"ASTRA_{name} is missing" in str(refusal.value)
    for name, value in zip(LOG, (KEY, "http://witness.example", "bucket", "hunter2", "hunter3"), strict=True):
        monkeypatch.setenv(f"ASTRA_{name}", value)
    with pytest.raises(SettingsError, match="ASTRA_WITNESS_URL must start with https://"):
        load(LogSettings)
    monkeypatch.setenv("ASTRA_WITNESS_URL", "https://witness.example")
    assert "hunter" not in repr(load(LogSettings))
    monkeypatch.setenv("ASTRA_LOG_ORIGIN", "two words")
    with pytest.raises(SettingsError, match="ASTRA_LOG_ORIGIN"):
        load(LogSettings)


def test_both_are_taken_in_the_emulators(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sealing(monkeypatch, "local", "redis://127.0.0.1/0", emulated=True).kms_uri == "local"


def test_an_unknown_key_service_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="ASTRA_KMS_URI must be"):
        sealing(monkeypatch, "file:///tmp/key", "rediss://redis.example/0")


@pytest.mark.parametrize(("name", "value"), [("ORPHAN_CONFIRM_HOURS", "23.9"), ("ORPHAN_FROZEN_DAYS", "1.9")])
def test_outside_the_emulators_no_orphan_is_erased_in_a_hurry(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("ASTRA_PSEUDONYM_KEY", KEY)
    for waits in ("ORPHAN_CONFIRM_HOURS", "ORPHAN_FROZEN_DAYS"):
        monkeypatch.delenv(f"ASTRA_{waits}", raising=False)
    assert load(RollCallSettings).orphan_confirm_hours == 24
    monkeypatch.setenv(f"ASTRA_{name}", value)
    with pytest.raises(SettingsError, match=f"ASTRA_{name} must be"):
        load(RollCallSettings)
    monkeypatch.setenv("FUNCTIONS_EMULATOR", "true")
    load(RollCallSettings)


def test_secrets_and_what_the_deployer_is_asked_for_follow_from_the_class() -> None:
    assert LogSettings.secrets() == ["ASTRA_LOG_KEY", "ASTRA_WITNESS_KEY_ID", "ASTRA_WITNESS_SECRET"]
    assert set(LogSettings.asked()) == {"ASTRA_WITNESS_URL", "ASTRA_WITNESS_BUCKET"}
    # The key behind `local` is for the emulators alone.
    assert OpeningSettings.secrets() == ["ASTRA_PSEUDONYM_KEY", "ASTRA_REDIS_URL"]
    assert set(OpeningSettings.asked()) == {"ASTRA_KMS_URI"}
