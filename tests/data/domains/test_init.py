from afterbase.data.domains import DOMAINS, OPEN, REASONING, REVIEWED, STYLES


def test_every_domain_is_of_one_kind_and_has_a_style():
    assert sorted((*REASONING, *OPEN)) == sorted(DOMAINS)
    assert STYLES.keys() == DOMAINS.keys()
    assert all(name == module.NAME for name, module in DOMAINS.items())


def test_what_people_review_is_what_no_rule_can_decide():
    assert tuple(REVIEWED) == OPEN
    assert all(path.is_file() for path in REVIEWED.values())
    assert all(DOMAINS[name].REFLECTIVE_SYSTEM_PROMPT for name in REASONING)
