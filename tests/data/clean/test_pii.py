import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbase.data.clean.pii import Kind, luhn, personal

KINDS: tuple[Kind, ...] = ("email", "phone", "card", "ip", "key")


def kinds(text: str) -> set[str]:
    return {kind for kind, _ in personal(text, KINDS)}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("email", "Write to jane.doe@gmail.com."),
        ("email", "a+b@sub.mail.co.uk"),
        ("phone", "Call +1 (415) 555-2671 now"),
        ("phone", "+44 20 7946 0958"),
        ("phone", "+8613812345678"),
        ("phone", "Tel: +49 30 901820"),
        ("phone", "(212) 736-5000"),
        ("phone", "415-867-5309"),
        ("phone", "电话：13812345678"),
        ("phone", "手机号是 138-1234-5678"),
        ("phone", "my phone is 0171 2345678"),
        ("card", "paid with 4111 1111 1111 1111."),
        ("card", "5500005555555559"),
        ("card", "3782 822463 10005"),
        ("ip", "the server at 8.8.4.4:53"),
        ("ip", "2a00:1450:4001:82a:0:0:0:200e"),
        ("ip", "2607:f8b0:4005:805::200e"),
        ("key", "AKIAIOSFODNN7EXAMPLE"),
        ("key", f"token ghp_{'a1B2' * 9}"),
        ("key", f"sk-proj-{'abcd1234' * 5}"),
        ("key", f"hf_{'a' * 34}"),
        ("key", "-----BEGIN RSA PRIVATE KEY-----"),
    ],
)
def test_personal_data_is_found(kind, text):
    assert kinds(text) == {kind}


@pytest.mark.parametrize(
    "text",
    [
        "user@example.com",
        "x@y",
        "@decorator",
        "x = 12 +12345678",
        "f(+12345)",
        "1234567890123456",
        "4111111111111112",
        "the sum is 4111111111111111 + 1",
        "$= 4242424242424242$",
        "192.168.0.1 and 127.0.0.1 and 10.0.0.1 and 192.0.2.1",
        "version 8.8.4.4",
        "v1.2.3.4",
        "1.2.3.4.5",
        "12:30:45",
        "00:1A:2B:3C:4D:5E",
        "std::vector<int>::iterator, a::b",
        "555-0123 or (415) 555-0123",
        "123-456-7890",
        "sk-learn is a library",
        "call f(1234567)?",
        "pi is 3.14159265358979323846",
    ],
)
def test_what_looks_alike_is_none(text):
    assert kinds(text) == set()


def test_only_the_kinds_asked_for_are_looked_for():
    assert list(personal("jane@gmail.com, 8.8.4.4", ["ip"])) == [("ip", "8.8.4.4")]
    assert list(personal("jane@gmail.com", [])) == []


@given(st.text(alphabet="0123456789", min_size=1, max_size=18))
def test_one_check_digit_fits_each_number(digits):
    assert sum(luhn(digits + str(d)) for d in range(10)) == 1


@given(st.text(alphabet="0123456789", min_size=2, max_size=18), st.integers(0, 17), st.integers(1, 9))
def test_a_digit_that_is_wrong_is_seen(digits, place, by):
    number = next(digits + str(d) for d in range(10) if luhn(digits + str(d)))
    i = place % len(number)
    assert not luhn(number[:i] + str((int(number[i]) + by) % 10) + number[i + 1 :])


@pytest.mark.parametrize("kind", KINDS)
@given(st.text(max_size=200))
def test_a_find_is_part_of_the_text(kind, text):
    assert all(found in text for _, found in personal(text, [kind]))


@pytest.mark.parametrize(
    "part", ["a", "1 ", "+1 ", ":", "ab:", "1.", "(", "phone ", "sk-", "(212) ", "a.", "1234-", "a@", "eyJa."]
)
def test_work_grows_with_the_text_and_not_faster(part):
    """A pattern that goes back and forth over hostile text would not come to an end on this."""
    text = part * 100_000
    assert all(kind in KINDS for kind, _ in personal(text, KINDS))
