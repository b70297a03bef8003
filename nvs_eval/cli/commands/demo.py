"""`nvs-eval demo`: the whole pipeline on a small scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nvs_eval.cli.commands.run import Run


@dataclass(frozen=True)
class Demo:
    """Train nerfacto on a small generated scene and evaluate it; no GPU needed.

    Takes some minutes on two CPU cores.
    """

    folder: Path = Path("nvs-eval-demo")
    """Folder of the scene, the run and the results. Finished parts are reused."""
    device: str = "auto"
    """Device to train and score on: auto, cpu or cuda."""
    weights_dir: Path | None = None
    """Folder to search first for LPIPS backbones (default: the environment variable NVS_EVAL_WEIGHTS)."""

    def run(self) -> int:
        """Draw, train and evaluate, make the page, and print where everything is."""
        from nvs_eval.cli.commands.report import ReportCommand
        from nvs_eval.cli.console import progress_to, say
        from nvs_eval.cli.demo.scene import write_scene
        from nvs_eval.cli.demo.training import train
        from nvs_eval.evaluation.options import ProtocolOptions
        from nvs_eval.system.files import check_folder_writable

        results = self.folder / "results"
        # Fail before the training if scoring or writing would fail after it.
        options = ProtocolOptions(device=self.device, weights_dir=self.weights_dir)
        kind = options.scorer(options.protocols()).device.type
        check_folder_writable(results)
        say(f"Scene: {self.folder / 'scenes' / 'still-life'}")
        scene = write_scene(self.folder / "scenes" / "still-life")
        with progress_to("Training nerfacto") as reached:
            device = "cuda" if kind == "cuda" else "cpu"
            config = train(scene, self.folder / "runs", device=device, weights_dir=self.weights_dir, progress=reached)
        say(f"Trained run: {config}")
        code, _ = Run(
            load_config=(config,),
            steps=("all",),
            output_dir=results,
            device=self.device,
            weights_dir=self.weights_dir,
        ).evaluate()
        say(f"Records and renders: {results}. To print the table again: nvs-eval table {results}")
        made = ReportCommand(
            records=(str(results),), output=self.folder / "page", maps=("ssim", "flip"), title="Demo", overwrite=True
        ).run()
        return code or made
