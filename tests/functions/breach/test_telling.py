"""A campaign in the application: everybody of the cohort is told, once."""

from tests.functions.breach.crowd import Crowd


def test_everybody_is_told_once_and_the_campaign_is_complete(crowd: Crowd) -> None:
    crowd.come(25)
    crowd.announce(canary=False)
    crowd.work()
    assert crowd.told() == crowd.uids
    [notice] = crowd.notices(crowd.uids[0])
    assert notice["name"] == notice["campaign"] == crowd.name
    assert notice["title"] == "Our Security & Privacy Policy changes on 1 January 2027"
    assert "We say more about <cookies> & such." in notice["body"]
    campaign = crowd.campaign()
    assert (campaign["state"], campaign["count"], campaign["counts"]) == ("complete", 25, {"told": 25, "gone": 0})
