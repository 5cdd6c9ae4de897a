"""Processes that run one fit together stop at the same iteration, whoever has the reason."""

from gmmvi_ext.training import Limits, StopReason, train


def test_the_reason_of_another_process_counts(counting_algorithm):
    calls = []

    def agreed(counts):
        calls.append(counts)
        others = [int(each is StopReason.MAX_SECONDS and len(calls) == 6) for each in StopReason]
        return [mine + other for mine, other in zip(counts, others, strict=True)]

    result = train(counting_algorithm(), limits=Limits(num_iterations=50), agreed=agreed)
    # One question before the first step, one after every step.
    assert (result.stop_reason, result.iterations) == (StopReason.MAX_SECONDS, 5)
    assert all(sum(counts) == 0 for counts in calls)


def test_a_failure_elsewhere_is_a_failure_here(counting_algorithm):
    def agreed(counts):
        return [int(each is StopReason.DIVERGED) for each in StopReason]

    result = train(counting_algorithm(), limits=Limits(num_iterations=50), agreed=agreed)
    assert result.stop_reason is StopReason.DIVERGED and "another worker" in result.problem


def test_the_own_reason_is_told_to_the_others(counting_algorithm):
    told = []

    def agreed(counts):
        told.append(dict(zip(StopReason, counts, strict=True)))
        return counts

    result = train(counting_algorithm(), limits=Limits(num_iterations=3), agreed=agreed)
    assert result.iterations == 3 and told[-1][StopReason.NUM_ITERATIONS] == 1
