"""Networks: the families of backbones, the classification heads, and the pretraining network."""

from . import bert as bert
from . import distilbert as distilbert
from . import roberta as roberta
