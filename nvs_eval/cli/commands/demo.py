"""`nvs-eval demo`: everything once, on a small scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nvs_eval.cli.commands.run import Run


@dataclass(frozen=True)
class Demo:
    """Draw a small scene, train nerfacto on it, and evaluate its checkpoints: minutes, no GPU needed."""

    folder: Path = Path("nvs-eval-demo")
    """Where the scene, the run and the results are written. What is there already is used again."""
    device: str = "auto"
    """Where to train and to score: auto, cpu, cuda."""
    weights_dir: Path | None = None
    """A folder to look for LPIPS backbones first (else the environment variable NVS_EVAL_WEIGHTS)."""

    def run(self) -> int:
        """Draw, train, evaluate; then say where everything is."""
        from nvs_eval.cli.console import progress_to, say
        from nvs_eval.cli.demo.scene import write_scene
        from nvs_eval.cli.demo.training import train
        from nvs_eval.evaluation.options import ProtocolOptions
        from nvs_eval.system.files import check_folder_writable

        results = self.folder / "results"
        # What the end needs is asked for at the beginning.
        options = ProtocolOptions(device=self.device, weights_dir=self.weights_dir)
        kind = options.scorer(options.protocols()).device.type
        check_folder_writable(results)
        say(f"The scene: {self.folder / 'scenes' / 'still-life'}")
        scene = write_scene(self.folder / "scenes" / "still-life")
        with progress_to("Training nerfacto") as reached:
            device = "cuda" if kind == "cuda" else "cpu"
            config = train(scene, self.folder / "runs", device=device, weights_dir=self.weights_dir, progress=reached)
        say(f"The trained run: {config}")
        Run(
            load_config=(config,),
            steps=("all",),
            output_dir=results,
            device=self.device,
            weights_dir=self.weights_dir,
        ).run()
        say(f"Records and renders: {results}. The same table again: nvs-eval table {results}")
        return 0
