"""A client in Python, generated from the protos alone: saves a flow, executes a run, and reads its stream to the end.

    pip install grpcio-tools
    python -m grpc_tools.protoc -I proto --python_out=OUT --grpc_python_out=OUT proto/synapps/v1/*.proto
    PYTHONPATH=OUT python clients/python/example.py 127.0.0.1:50051

`follow` is the loop that a client needs: it keeps the last sequence that it has seen, and goes on from there after any
cut, so that it never loses and never doubles a durable event.
"""

import sys
import time
from collections.abc import Iterator

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.struct_pb2 import Value

from synapps.v1 import event_pb2, flow_pb2, flow_service_pb2, flow_service_pb2_grpc
from synapps.v1 import run_service_pb2, run_service_pb2_grpc, watch_pb2

FLOW = {
    "id": "python-example",
    "name": "Python example",
    "nodes": [
        {"id": "start", "type": "start"},
        {"id": "greet", "type": "transform",
         "data": {"operation": "template", "template": "Hello, {{ input.name }}!"}},
        {"id": "end", "type": "end"},
    ],
    "edges": [
        {"id": "a", "source": "start", "target": "greet"},
        {"id": "b", "source": "greet", "target": "end"},
    ],
}


def follow(runs: run_service_pb2_grpc.RunServiceStub, run_id: str, after: int) -> Iterator[event_pb2.RunEvent]:
    """Yields the events of a run after `after`, each once, until the run has ended."""
    while True:
        try:
            request = run_service_pb2.WatchRunRequest(run_id=run_id, after_sequence=after, include_payloads=True)
            for message in runs.WatchRun(request):
                if message.WhichOneof("message") == "event":
                    after = message.event.sequence
                    yield message.event
                elif message.end.reason == watch_pb2.STREAM_END_REASON_FINISHED:
                    return
        except grpc.RpcError as error:
            if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED):
                raise
            time.sleep(0.5)


def main(address: str) -> None:
    """Does what the module says, and fails unless the output is as expected."""
    with grpc.insecure_channel(address) as channel:
        flows = flow_service_pb2_grpc.FlowServiceStub(channel)
        runs = run_service_pb2_grpc.RunServiceStub(channel)

        flow = ParseDict(FLOW, flow_pb2.Flow())
        saved = flows.UpdateFlow(flow_service_pb2.UpdateFlowRequest(flow=flow, allow_missing=True)).flow
        print(f"saved {saved.id}, revision {saved.revision}")

        request = run_service_pb2.ExecuteRunRequest(
            flow_id=saved.id, input=ParseDict({"name": "Python"}, Value()), include_payloads=True
        )
        sequences, output, run_id = [], None, ""
        for message in runs.ExecuteRun(request):
            kind = message.WhichOneof("message")
            if kind == "run_started":
                run_id = message.run_started.run.run_id
            elif kind == "event":
                sequences.append(message.event.sequence)
                what = message.event.WhichOneof("event")
                print(f"{message.event.sequence:>3} {what} {message.event.node_id}")
                if what == "run_succeeded":
                    output = MessageToDict(message.event.run_succeeded.output)
        print("output:", output)

        assert sequences == list(range(1, len(sequences) + 1)), sequences
        assert output == {"value": "Hello, Python!"}, output
        assert [event.sequence for event in follow(runs, run_id, 2)] == sequences[2:]


if __name__ == "__main__":
    main(sys.argv[1])
