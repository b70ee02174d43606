"""The study of prompts learnt from noisy labels: what is asked (`plan`), each training (`training`), and its report."""
