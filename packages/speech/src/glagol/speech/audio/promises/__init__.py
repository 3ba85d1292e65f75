"""What containers state exactly about their sound, read from their own bytes before FFmpeg does."""
