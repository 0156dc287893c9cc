"""Requests as data for the worker link."""

import json
from dataclasses import replace

from swarmnode.values.generation import (
    MAX_LOGIT_BIASES,
    GenerationRequest,
    Sampling,
    TokenIds,
    request_as_dict,
    request_from_dict,
    sampling_as_dict,
    sampling_from_dict,
)

SAMPLING = Sampling(
    temperature=0.5,
    top_p=0.9,
    top_k=7,
    min_p=0.1,
    typical_p=0.8,
    frequency_penalty=1.0,
    presence_penalty=-1.0,
    repetition_penalty=1.2,
    seed=2**64 - 1,
    logit_bias=((3, -100.0), (50256, 0.25)),
)


def test_a_request_survives_the_link_as_json() -> None:
    request = GenerationRequest("id", "m", TokenIds((1, 2)), SAMPLING, 5, ("END",), 2, 3, "s")
    assert request_from_dict(json.loads(json.dumps(request_as_dict(request)))) == request


def test_sampling_survives_json_and_stays_a_value() -> None:
    again = sampling_from_dict(json.loads(json.dumps(sampling_as_dict(SAMPLING))))
    assert again == SAMPLING
    assert hash(again) == hash(SAMPLING)


def test_every_field_of_a_sampling_crosses_the_link() -> None:
    assert set(sampling_as_dict(Sampling())) == set(Sampling.__slots__)
    for name, value in sampling_as_dict(SAMPLING).items():
        assert value != sampling_as_dict(Sampling())[name]


def test_what_an_older_node_does_not_know_has_its_default() -> None:
    older = sampling_as_dict(SAMPLING)
    del older["logit_bias"], older["typical_p"]
    assert sampling_from_dict(older) == replace(SAMPLING, logit_bias=(), typical_p=1.0)


def test_the_most_biases_fit_into_a_message_header() -> None:
    from swarmnode.protocols.worker.messages import MAX_HEADER

    widest = tuple((2**31 - 1 - i, -33.333333333333336) for i in range(MAX_LOGIT_BIASES))
    fields = sampling_as_dict(replace(SAMPLING, logit_bias=widest))
    assert len(json.dumps(fields)) < MAX_HEADER - 1024
