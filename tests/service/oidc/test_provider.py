"""The provider changes its keys, or is away."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from joserfc.jwk import RSAKey

from encryption_service.oidc import provider as cache
from encryption_service.oidc.discovery import ProviderError
from encryption_service.oidc.errors import EvidenceError
from encryption_service.oidc.id_token import Header
from encryption_service.oidc.provider import ProviderKeys
from encryption_service.oidc.signing_keys import SigningKey, read_key_set
from groupseal.reasons import Reason
from tests.support.at_once import at_once
from tests.support.evidence_makers import Enrolment, Service, TestClock, refusal
from tests.support.identity_provider import IdentityProvider
from tests.support.waiting import wait_for

UNAVAILABLE = Reason.IDENTITY_PROVIDER_UNAVAILABLE
KEY_SET = "/oauth/jwks.json"
_SET = json.dumps({"keys": [RSAKey.generate_key(2048).as_dict(private=False)]}).encode()


class TestKeysThatChange:
    def test_a_new_key_is_found_by_itself_and_a_removed_one_is_worth_nothing(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        old = own_provider.mint(own_enrolment.claims())
        own_service.verify(own_enrolment, old)
        own_provider.rotate_keys()
        own_service.clock.forward(cache.RETRY_MS)
        new = own_provider.id_token("ada", own_enrolment.nonce())
        assert own_service.verify(own_enrolment, new).subject == "ada"
        own_service.clock.forward(cache.RETRY_MS)
        assert refusal(own_service, own_enrolment, old) is Reason.EVIDENCE_INVALID

    def test_a_key_that_stays_in_the_set_stays_good(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        old = own_provider.mint(own_enrolment.claims())
        own_service.verify(own_enrolment, old)
        own_provider.rotate_keys(keep_old=True)
        own_service.clock.forward(cache.RETRY_MS)
        for token in (own_provider.mint(own_enrolment.claims()), old):
            own_service.verify(own_enrolment, token)

    def test_a_key_that_is_new_since_a_moment_ago_is_waited_for_and_not_refused(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        """The keys were fetched seconds before they changed: too early to ask again."""
        own_service.verify(own_enrolment, own_provider.mint(own_enrolment.claims()))
        own_provider.rotate_keys()
        own_service.clock.forward(1000)
        token = own_provider.mint(own_enrolment.claims())
        assert refusal(own_service, own_enrolment, token) is UNAVAILABLE
        own_service.clock.forward(cache.RETRY_MS)
        own_service.verify(own_enrolment, token)

    def test_a_removed_key_is_gone_when_the_set_is_no_longer_fresh(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        """Although no token with a new key came."""
        old = own_provider.mint(own_enrolment.claims())
        own_service.verify(own_enrolment, old)
        own_provider.rotate_keys()
        own_service.clock.forward(cache.FRESH_MS)
        assert refusal(own_service, own_enrolment, old) is Reason.EVIDENCE_INVALID

    def test_unknown_key_ids_do_not_make_the_service_ask_more_often(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        """A hostile vendor sends tokens with a new key id each: two fetches, not fifty."""
        own_service.verify(own_enrolment, own_provider.mint(own_enrolment.claims()))
        stranger = RSAKey.generate_key(2048)
        tokens = [
            own_provider.mint(own_enrolment.claims(), key=stranger, headers={"kid": f"k{number}"})
            for number in range(50)
        ]
        own_service.clock.forward(1000)
        for token in tokens:
            assert refusal(own_service, own_enrolment, token) is UNAVAILABLE
        own_service.clock.forward(cache.RETRY_MS)
        for token in tokens:
            assert refusal(own_service, own_enrolment, token) is Reason.EVIDENCE_INVALID
        assert own_provider.requests.count(KEY_SET) == 2

    def test_good_tokens_ask_the_provider_once(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        for _ in range(5):
            own_service.verify(own_enrolment, own_provider.mint(own_enrolment.claims()))
        assert own_provider.requests.count(KEY_SET) == 1


class TestProviderAway:
    def test_cached_keys_serve_on_for_a_while(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        own_service.verify(own_enrolment, own_provider.mint(own_enrolment.claims()))
        with own_provider.away():
            own_service.clock.forward(cache.FRESH_MS)
            own_service.verify(own_enrolment, own_provider.mint(own_enrolment.claims()))
            assert "does not accept a connection" in own_service.verifier.provider_fault
            own_service.clock.forward(cache.USABLE_MS)
            token = own_provider.mint(own_enrolment.claims(exp=own_service.clock() // 1000 + 600))
            assert refusal(own_service, own_enrolment, token) is UNAVAILABLE
        own_service.clock.forward(cache.RETRY_MS)
        own_service.verify(own_enrolment, token)
        assert own_service.verifier.provider_fault == ""

    def test_with_a_cold_cache_evidence_waits_and_is_then_accepted(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        token = own_provider.mint(own_enrolment.claims())
        with own_provider.away():
            assert refusal(own_service, own_enrolment, token) is UNAVAILABLE
        # Nobody asks again at once, even though the provider is back.
        assert refusal(own_service, own_enrolment, token) is UNAVAILABLE
        own_service.clock.forward(cache.RETRY_MS)
        own_service.verify(own_enrolment, token)

    def test_an_unknown_key_id_waits_until_the_provider_can_be_asked(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        own_service.verify(own_enrolment, own_provider.mint(own_enrolment.claims()))
        own_provider.rotate_keys()
        token = own_provider.mint(own_enrolment.claims())
        own_service.clock.forward(cache.RETRY_MS)
        with own_provider.away():
            assert refusal(own_service, own_enrolment, token) is UNAVAILABLE
        own_service.clock.forward(cache.RETRY_MS)
        own_service.verify(own_enrolment, token)

    def test_evidence_that_expires_meanwhile_says_so(
        self, own_provider: IdentityProvider, own_enrolment: Enrolment, own_service: Service
    ) -> None:
        token = own_provider.mint(own_enrolment.claims())
        with own_provider.away():
            assert refusal(own_service, own_enrolment, token) is UNAVAILABLE
        own_service.clock.forward(2 * 3600_000)
        assert refusal(own_service, own_enrolment, token) is Reason.EVIDENCE_EXPIRED


class TestCache:
    """Against a provider that is slow, without a network: how many threads it can hold."""

    header = Header("RS256", None)

    def test_a_provider_that_hangs_holds_one_thread_and_not_one_for_each_token(self) -> None:
        key = read_key_set(_SET)
        let_go, calls = threading.Event(), 0

        def fetch() -> tuple[SigningKey, ...]:
            nonlocal calls
            calls += 1
            if calls > 1:
                assert let_go.wait(30)
            return key

        clock = TestClock()
        keys = ProviderKeys(fetch, clock)
        assert keys.keys_for(self.header) == key
        clock.forward(cache.FRESH_MS)
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(keys.keys_for, self.header)
            wait_for(lambda: calls == 2, 20, "the second fetch")
            # The old set serves on at once.
            assert [keys.keys_for(self.header) for _ in range(20)] == [key] * 20
            let_go.set()
            assert hanging.result() == key
        assert calls == 2

    def test_many_tokens_at_a_cold_start_are_one_fetch(self) -> None:
        key = read_key_set(_SET)
        calls: list[int] = []

        def fetch() -> tuple[SigningKey, ...]:
            calls.append(1)
            return key

        keys = ProviderKeys(fetch, TestClock())
        found = at_once(*[lambda: keys.keys_for(self.header)] * 8)
        assert found == [key] * 8
        assert len(calls) == 1

    def test_a_clock_that_was_set_back_does_not_stop_the_service_from_asking(self) -> None:
        key = read_key_set(_SET)
        calls: list[int] = []

        def fetch() -> tuple[SigningKey, ...]:
            calls.append(1)
            return key

        clock = TestClock(ahead_ms=365 * 86_400_000)
        keys = ProviderKeys(fetch, clock)
        keys.keys_for(self.header)
        clock.ahead_ms = 0
        keys.keys_for(self.header)
        assert len(calls) == 2

    def test_after_a_failure_nobody_asks_for_a_while(self) -> None:
        calls: list[int] = []

        def fetch() -> tuple[SigningKey, ...]:
            calls.append(1)
            raise ProviderError("away")

        clock = TestClock()
        keys = ProviderKeys(fetch, clock)
        for _ in range(20):
            with pytest.raises(EvidenceError, match="away"):
                keys.keys_for(self.header)
        assert len(calls) == 1
        clock.forward(cache.RETRY_MS)
        with pytest.raises(EvidenceError):
            keys.keys_for(self.header)
        assert len(calls) == 2

    def test_a_provider_that_hangs_until_the_timeout_is_left_alone_as_long_afterwards(self) -> None:
        """Otherwise each key of a batch would wait for the timeout again."""
        clock, calls = TestClock(), []

        def fetch() -> tuple[SigningKey, ...]:
            calls.append(1)
            clock.forward(2 * cache.RETRY_MS)
            raise ProviderError("no whole answer")

        keys = ProviderKeys(fetch, clock)
        for _ in range(20):
            with pytest.raises(EvidenceError):
                keys.keys_for(self.header)
        assert len(calls) == 1

    def test_those_who_waited_for_a_fetch_that_failed_do_not_begin_another(self) -> None:
        """The clock stands still for nobody while they wait."""
        clock, calls = TestClock(), []

        def fetch() -> tuple[SigningKey, ...]:
            calls.append(1)
            clock.forward(1000)
            threading.Event().wait(0.2)
            clock.forward(1000)
            raise ProviderError("no whole answer")

        keys = ProviderKeys(fetch, clock)

        def ask() -> object:
            try:
                return keys.keys_for(self.header)
            except EvidenceError as error:
                return error.reason

        assert at_once(*[ask] * 8) == [UNAVAILABLE] * 8
        assert len(calls) == 1
