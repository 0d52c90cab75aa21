"""Settings: where they come from, which wins, and what a wrong one is told."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path

import pytest

from waitline.bridge.config import Address, Config, Ports, load_config, parse_address, settings_reference
from waitline.errors import ConfigError


@pytest.fixture(autouse=True)
def _empty_folder_and_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("WAITLINE_"):
            monkeypatch.delenv(name)


def test_without_any_setting_it_listens_on_this_machine_only():
    config = load_config()
    assert config.data == Path("waitline-data")
    assert config.http == Address("127.0.0.1", 8080)
    assert config.sip == Address("127.0.0.1", 5060)
    assert config.rtp_host == "127.0.0.1"
    assert config.rtp_ports == Ports(16384, 32767)
    assert config.drain_s == 600
    assert config.whisper_timeout_s == 3
    assert config.min_fetch_interval_s == 1


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(monkeypatch: pytest.MonkeyPatch):
    Path("waitline.toml").write_text('http = "127.0.0.1:1"\nsip = "127.0.0.1:2"\ndrain_s = 5\n')
    monkeypatch.setenv("WAITLINE_HTTP", "127.0.0.1:0")
    config = load_config()
    assert (config.http.port, config.sip.port, config.drain_s) == (0, 2, 5.0)


def test_another_file_may_be_named_and_must_be_there(tmp_path: Path):
    (tmp_path / "other.toml").write_text('data = "/srv/waitline"\n')
    assert load_config(tmp_path / "other.toml").data == Path("/srv/waitline")
    with pytest.raises(ConfigError, match=r"--config missing\.toml: there is no such file"):
        load_config(Path("missing.toml"))


def test_loopback_networks_are_trusted_only_while_we_listen_on_loopback(monkeypatch: pytest.MonkeyPatch):
    loopback = (ip_network("127.0.0.0/8"),)
    assert (load_config().webhook_allow, load_config().sip_trust) == (loopback, loopback)
    monkeypatch.setenv("WAITLINE_HTTP", "0.0.0.0:8080")
    assert (load_config().webhook_allow, load_config().sip_trust) == ((), loopback)
    monkeypatch.setenv("WAITLINE_SIP", "192.0.2.1:5060")
    assert load_config().sip_trust == ()
    assert load_config().rtp_host == "192.0.2.1"


def test_networks_are_separated_by_commas_or_a_list_in_the_file(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WAITLINE_WEBHOOK_ALLOW", " 10.0.0.0/8, 192.0.2.7,fd00::/8 ")
    Path("waitline.toml").write_text('sip_trust = ["10.1.0.0/16", "10.2.0.0/16"]\n')
    config = load_config()
    assert config.webhook_allow == (ip_network("10.0.0.0/8"), ip_network("192.0.2.7"), ip_network("fd00::/8"))
    assert config.sip_trust == (ip_network("10.1.0.0/16"), ip_network("10.2.0.0/16"))


def test_an_empty_list_of_networks_allows_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WAITLINE_WEBHOOK_ALLOW", "")
    assert load_config().webhook_allow == ()


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("WAITLINE_HTTP", "8080", "WAITLINE_HTTP: '8080' is not HOST:PORT"),
        ("WAITLINE_SIP", "127.0.0.1:99999", "WAITLINE_SIP: '99999' is not a port (0 to 65535) (it is '127.0.0.1:99999')"),
        ("WAITLINE_SIP", "::1:5060", "WAITLINE_SIP: '::1:5060': write an IPv6 address as [ADDRESS]:PORT"),
        ("WAITLINE_RTP_PORTS", "16384", "WAITLINE_RTP_PORTS: '16384' is not FIRST-LAST"),
        ("WAITLINE_RTP_PORTS", "20000-16384", "WAITLINE_RTP_PORTS: '20000-16384': a range needs at least two ports"),
        ("WAITLINE_WEBHOOK_ALLOW", "10.0.0.1/8", "WAITLINE_WEBHOOK_ALLOW: 10.0.0.1/8 has host bits set"),
        ("WAITLINE_SIP_TRUST", "example.org", "WAITLINE_SIP_TRUST: 'example.org' does not appear to be an IPv4 or IPv6 network"),
        ("WAITLINE_DRAIN_S", "soon", "WAITLINE_DRAIN_S: Input should be a valid number"),
        ("WAITLINE_DRAIN_S", "-1", "WAITLINE_DRAIN_S: Input should be greater than or equal to 0 (it is '-1')"),
        ("WAITLINE_MEDIA_WORKERS", "1000", "WAITLINE_MEDIA_WORKERS: Input should be less than or equal to 256"),
        ("WAITLINE_SIP_REALM", 'a"b', "WAITLINE_SIP_REALM: 'a\"b': quotes"),
        ("WAITLINE_LOG_LEVEL", "loud", "WAITLINE_LOG_LEVEL: Input should be 'debug', 'info', 'warning' or 'error' (it is 'loud')"),
        ("WAITLINE_PUBLIC_URL", "example.org", "WAITLINE_PUBLIC_URL: 'example.org' is not a URL such as https://voice.example.org"),
        ("WAITLINE_DATA", "", "WAITLINE_DATA: the name of a folder is missing"),
        ("WAITLINE_DATABASE", "mysql://x/y", "settings: database is not a postgresql:// URL"),
        ("WAITLINE_SIP_REGISTER_MIN_S", "7200", "settings: sip_register_min_s is larger than sip_register_max_s"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_wrong(monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str):
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError) as error:
        load_config()
    assert str(error.value).startswith(message)


def test_a_wrong_setting_in_the_file_names_the_file():
    Path("waitline.toml").write_text('sip = "nowhere"\n')
    with pytest.raises(ConfigError, match=r"^sip in waitline.toml \(WAITLINE_SIP\): 'nowhere' is not HOST:PORT$"):
        load_config()


def test_an_unknown_setting_in_the_file_is_refused():
    Path("waitline.toml").write_text('sipp = "127.0.0.1:5060"\n')
    with pytest.raises(ConfigError, match=r"^sipp in waitline.toml: there is no such setting$"):
        load_config()


def test_every_fault_has_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WAITLINE_SIP", "x")
    monkeypatch.setenv("WAITLINE_HTTP", "x")
    with pytest.raises(ConfigError) as error:
        load_config()
    assert len(str(error.value).splitlines()) == 2


def test_a_file_that_is_not_toml_says_where():
    Path("waitline.toml").write_text("sip = \n")
    with pytest.raises(ConfigError, match=r"^waitline.toml: not TOML: .*line 1"):
        load_config()


def test_the_key_is_never_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WAITLINE_KEY", "correct horse battery staple")
    config = load_config()
    assert config.key == "correct horse battery staple"
    assert "horse" not in repr(config)
    assert "horse" not in str(config)


def test_addresses_read_and_print_ipv6():
    assert parse_address("[::1]:5060") == Address("::1", 5060)
    assert str(Address("::1", 5060)) == "[::1]:5060"
    assert Address("::1", 0).loopback
    assert Address("localhost", 0).loopback
    assert not Address("voice.example.org", 0).loopback


def test_settings_cannot_be_changed_after_the_start():
    with pytest.raises(ValueError, match="frozen"):
        load_config().drain_s = 1


def test_every_setting_is_described_for_the_reference():
    reference = settings_reference()
    assert {setting.name for setting in reference} == set(Config.model_fields)
    assert all(setting.description for setting in reference)
    assert next(setting for setting in reference if setting.name == "http").default == "127.0.0.1:8080"
