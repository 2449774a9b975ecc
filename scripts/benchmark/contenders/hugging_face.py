"""Hugging Face's ``Trainer`` and ``BertForSequenceClassification`` on torch.

``job.bf16`` trains and scores in mixed precision, ``job.fp16`` in that of float16. ``job.padded`` pads every pair to
`max_len` and shuffles, as the example ``run_glue.py`` does by default; otherwise batches are of like length, padded to
their longest pair. ``job.loader_workers`` processes make the batches.
"""

import tempfile

import torch
from transformers import (
    AutoTokenizer,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)
from worker import LABELS, Worker, read_pairs


class Rows(torch.utils.data.Dataset):
    """Encoded pairs and labels."""

    def __init__(self, encoded, labels):
        self.encoded = {**encoded, "labels": [LABELS.index(label) for label in labels]}

    def __len__(self):
        return len(self.encoded["labels"])

    def __getitem__(self, i):
        return {name: column[i] for name, column in self.encoded.items()}


class HeldTrainer(Trainer):
    """Notes how large the last batch was."""

    def training_step(self, model, inputs, *arguments, **settings):
        self.last_mask = inputs["attention_mask"]
        return super().training_step(model, inputs, *arguments, **settings)


class Hold(TrainerCallback):
    """Waits for the benchmark before the first and after each step."""

    def __init__(self, begin, step):
        self.begin, self.step = begin, step

    def on_train_begin(self, *arguments, **settings):
        self.begin()

    def on_step_end(self, *arguments, **settings):
        self.step()


def main():
    worker = Worker()
    job = worker.job
    set_seed(job.seed)
    on_gpu = torch.cuda.is_available()
    loader_workers = getattr(job, "loader_workers", 0)
    tokenizer = AutoTokenizer.from_pretrained(job.checkpoint)

    def encode(premises, hypotheses):
        padding = "max_length" if job.padded else False
        return tokenizer(premises, hypotheses, padding=padding, max_length=job.max_len, truncation=True)

    def rows(path):
        premises, hypotheses, labels = read_pairs(path)
        return Rows(encode(premises, hypotheses), labels)

    dropout = {"hidden_dropout_prob": job.dropout, "attention_probs_dropout_prob": job.dropout}
    model = BertForSequenceClassification.from_pretrained(
        job.checkpoint, num_labels=len(LABELS), dtype=torch.float32, **dropout
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = TrainingArguments(
            output_dir=folder,
            num_train_epochs=job.epochs,
            per_device_train_batch_size=job.batch_size,
            per_device_eval_batch_size=job.eval_batch_size,
            learning_rate=job.lr,
            lr_scheduler_type="linear",
            warmup_steps=job.warmup_ratio,
            weight_decay=0.01,
            max_grad_norm=1.0,
            seed=job.seed,
            bf16=job.bf16,
            fp16=getattr(job, "fp16", False),
            dataloader_num_workers=loader_workers,
            dataloader_persistent_workers=loader_workers > 0,
            use_cpu=not on_gpu,
            train_sampling_strategy="random" if job.padded else "group_by_length",
            save_strategy="no",
            eval_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        dev = rows(job.dev_file)
        trainer = HeldTrainer(
            model=model,
            args=settings,
            train_dataset=rows(job.train_file),
            eval_dataset=dev,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=lambda scored: {"accuracy": (scored.predictions.argmax(1) == scored.label_ids).mean()},
        )

        def begin():
            worker.begin(
                lambda: (len(dev), trainer.evaluate()["eval_accuracy"]),
                lambda premises, hypotheses, _: sum(map(sum, encode(premises, hypotheses)["attention_mask"])),
                torch.cuda.synchronize if on_gpu else lambda: None,
                ("torch", "transformers", "accelerate"),
                torch.cuda.get_device_name() if on_gpu else "cpu",
            )

        def step():
            mask = trainer.last_mask
            worker.step(len(mask), mask.sum(), mask.numel())

        trainer.add_callback(Hold(begin, step))
        trainer.train()
        worker.end()


if __name__ == "__main__":
    main()
