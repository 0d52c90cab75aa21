import pytest

from waitline.bridge.sip.flow import Flow


@pytest.mark.parametrize(("transport", "reliable"), [("udp", False), ("tcp", True), ("tls", True)])
def test_only_datagrams_need_to_be_sent_again(transport, reliable):
    assert Flow(transport, ("192.0.2.1", 5060), ("192.0.2.2", 5060)).reliable is reliable


def test_a_flow_is_plain_data_that_compares_by_value():
    flow = Flow("tcp", ("192.0.2.1", 5060), ("192.0.2.2", 40000), 3)
    assert flow == Flow(*flow)
    assert len({flow, Flow(*flow)}) == 1
