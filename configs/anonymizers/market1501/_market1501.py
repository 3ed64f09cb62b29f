"""What the anonymizers of Market-1501 share: small pictures of one person each, all of whom are to be found."""

from ..FB_cse_mask_face import anonymizer, batch_size, detector, device, fallback, seed, tracker, vehicle_synthesizer

# As published.
detector.bodies.masks.score_threshold = 0.1
detector.bodies.surfaces.score_threshold = 0.3
detector.faces.score_threshold = 0.5
# A face outside of all bodies is redacted; the published configs leave it as it is.
del anonymizer.synthesizers.face
