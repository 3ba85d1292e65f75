"""vLLM as a child process: started, proven, watched, restarted, spoken with."""
