"""Whether what came back is what the stream asked for.

For every request of the reading there is one answer, in order, and it means what the same request is answered alone, on
a connection of its own. What must be refused is refused once, with 4xx, and the server ends the connection by itself.
Where the reading has a doubt, both are right. Nothing else comes back.
"""

import h11

from keystead.http.limits import HttpLimits
from proof.fuzz.answers import ANY, Answer, Asked, split_answers
from proof.fuzz.conversation import Conversation, Ending, Transcript, Wanted
from proof.fuzz.reading import End, Reading, Request, read
from proof.fuzz.violation import Violation, shown

_REMEMBERED = 5000
_LARGE = 4096


class Judge:
    """Judges conversations with one server."""

    def __init__(self, conversation: Conversation, limits: HttpLimits) -> None:
        self._conversation = conversation
        self._limits = limits
        self._alone: dict[bytes, object] = {}

    def read(self, stream: bytes) -> Reading:
        """The reading of `stream`; Violation when h11 reads a request otherwise that should be beyond doubt."""
        reading = read(stream, self._limits)
        _compare_with_h11(stream, reading)
        return reading

    async def try_stream(self, stream: bytes, pieces: list[bytes], ending: Ending) -> list[Answer]:
        """Have a conversation and judge it; the answers. Raises Violation."""
        reading = self.read(stream)
        transcript = await self._conversation.talk(pieces, ending, wanted(reading))
        if transcript.hung:
            if transcript.output and reading.end is End.REFUSED:
                # It may go on waiting as it has accepted what it should have refused.
                await self._judge(reading, transcript, ending)
            raise Violation(f"hung: {transcript.hung}; until then: {shown(transcript.output)}")
        if ending is Ending.RESET:
            return []
        return await self._judge(reading, transcript, ending)

    async def _judge(self, reading: Reading, transcript: Transcript, ending: Ending) -> list[Answer]:
        answers = _answers_to(reading, transcript)
        left = list(answers)
        doubtful = False
        for number, request in enumerate(reading.requests):
            doubtful = doubtful or bool(request.doubt)
            if not left:
                raise Violation(f"request {number} ({request.method!r} {request.target[:60]!r}) is not answered")
            answer = left.pop(0)
            if doubtful and _is_refusal(answer):
                return _over(answers, left, transcript)
            await self._compare(number, request, answer)
            if request.persists is False and not answer.ends:
                raise Violation(f"answer {number} does not announce the end of the connection")
            if answer.ends and request.persists is True and (number + 1 < len(reading.requests)):
                raise Violation(f"answer {number} ends a connection that should go on")
            if answer.ends and request.persists is not True:
                return _over(answers, left, transcript)
            doubtful = request.persists is None
        return self._judge_end(reading, transcript, ending, answers, left)

    def _judge_end(
        self, reading: Reading, transcript: Transcript, ending: Ending, answers: list[Answer], left: list[Answer]
    ) -> list[Answer]:
        if reading.end is End.REFUSED:
            if not left:
                raise Violation(f"not refused: {reading.reason}")
            if not _is_refusal(left[0]) or left[0].status == 408:
                raise Violation(f"answered {left[0].status} instead of refused: {reading.reason}")
            return _over(answers, left[1:], transcript)
        if reading.end is End.PARTIAL and left and _is_refusal(left[0]):
            # Early, for what can be seen of it, or in the end, as it did not come in time.
            is_late = ending is Ending.SILENCE and not transcript.ended_first
            if (left[0].status == 408) is not is_late:
                raise Violation(f"refused with {left[0].status} at the wrong time: {reading.reason}")
            left = left[1:]
        elif reading.end is End.PARTIAL and ending is Ending.SILENCE and not left:
            raise Violation("a client that fell silent within a request was not told 408")
        if left:
            raise Violation(f"more answers than requests: {left[0].status} {shown(left[0].body)}")
        return answers

    async def _compare(self, number: int, request: Request, answer: Answer) -> None:
        alone = await self._answered_alone(request)
        if answer.meaning != alone:
            raise Violation(f"request {number} is answered {answer.meaning}, but alone on a connection {alone}")

    async def _answered_alone(self, request: Request) -> object:
        stream = request.alone()
        known = self._alone.get(stream)
        if known is not None:
            return known
        transcript = await self._conversation.talk([stream], Ending.EOF, Wanted(1, ends=False))
        if transcript.hung:
            raise Violation(f"hung: {transcript.hung}: {shown(stream)}")
        answers = split_answers(transcript.output, [Asked(request.method)])
        if len(answers) != 1:
            raise Violation(f"{len(answers)} answers to one request: {shown(stream)}")
        if len(self._alone) >= _REMEMBERED:
            self._alone.clear()
        if len(stream) < _LARGE:
            self._alone[stream] = answers[0].meaning
        return answers[0].meaning


def wanted(reading: Reading) -> Wanted:
    """What the server has to send before the client ends."""
    count = len(reading.requests)
    return Wanted(count + (reading.end is End.REFUSED), ends=reading.end in (End.REFUSED, End.CLOSED))


def _is_refusal(answer: Answer) -> bool:
    return 400 <= answer.status < 500 and answer.ends


def _over(answers: list[Answer], left: list[Answer], transcript: Transcript) -> list[Answer]:
    """After the last answer nothing comes, and the server ends by itself."""
    if left:
        raise Violation(f"an answer behind the last one: {left[0].status} {shown(left[0].body)}")
    if not transcript.ended_first:
        raise Violation("the server announced the end of the connection and did not end it")
    return answers


def _answers_to(reading: Reading, transcript: Transcript) -> list[Answer]:
    asked = [Asked(request.method, request.expects_continue) for request in reading.requests]
    asked.append(Asked(_method_of_the_rest(reading, transcript), may_be_continued=True))
    try:
        return split_answers(transcript.output, asked)
    except Violation:
        doubtful = [n for n, request in enumerate(reading.requests) if request.doubt and request.method == b"HEAD"]
        if not doubtful:
            raise
    # A server that can not read the line of a request need not know that it is a HEAD.
    for number in doubtful:
        asked[number] = ANY
    return split_answers(transcript.output, asked)


def _method_of_the_rest(reading: Reading, transcript: Transcript) -> bytes:
    """HEAD if what is refused at the end was one, as far as the answer tells."""
    # A refused HEAD has a content-length and no body: the output ends with its head.
    return b"HEAD" if reading.end is not End.CLEAN and transcript.output.endswith(b"\r\n\r\n") else b"POST"


def _compare_with_h11(stream: bytes, reading: Reading) -> None:
    """Violation when a second reader understands something else where the reference sees no doubt."""
    for number, request in enumerate(reading.requests):
        if request.doubt:
            continue
        try:
            heard = _heard_by_h11(stream[request.start : request.end])
        except h11.RemoteProtocolError as error:
            raise Violation(f"the reference reads request {number} as {request}, h11 refuses it: {error}") from None
        if heard != (request.method, request.target, request.body, b""):
            raise Violation(f"the reference reads request {number} as {request}, h11 as {heard}")


def _heard_by_h11(data: bytes) -> tuple[bytes, bytes, bytes, bytes] | None:
    """Method, target, body of the first request and what follows it; None if it is not complete."""
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=2**24)
    server.receive_data(data)
    event = server.next_event()
    if not isinstance(event, h11.Request):
        return None
    method, target, body = event.method, event.target, b""
    while isinstance(event := server.next_event(), h11.Data):
        body += event.data
    return (method, target, body, bytes(server.trailing_data[0])) if isinstance(event, h11.EndOfMessage) else None
