"""What a video says of where it comes from, beside its parameters. Knows nothing of files."""

import json
from dataclasses import dataclass

from models.params import LabelText


@dataclass(frozen=True)
class Provenance:
    """Where a video comes from.

    Attributes:
        producer: name or code of the provider of the service; "" if it has not given one.
        video_id: identifies the video among those of the producer.
        label_text: what the visible label says, if there is one.
    """

    producer: str = ""
    video_id: str = ""
    label_text: LabelText = "AI"

    def metadata(self, engine: str) -> dict[str, str]:
        """The keys of an MP4 that say that it is AI-generated, to machines and to people.

        `AIGC` is the JSON of GB 45438-2025, appendix E. Its fields for a signature, and for services that
        publish the video later, are empty.

        Args:
            engine: the name of the engine.
        """
        aigc = {
            "Label": "1",  # AI-generated for certain
            "ContentProducer": self.producer,
            "ProduceID": self.video_id,
            "ReservedCode1": "",
            "ContentPropagator": "",
            "PropagateID": "",
            "ReservedCode2": "",
        }
        comment = f"AI-generated: a still portrait made to speak by echomimic-serve, engine {engine}"
        return {"AIGC": json.dumps(aigc, ensure_ascii=False, separators=(",", ":")), "comment": comment}


UNKNOWN = Provenance()
