// Transcribe a recording with JavaScript (Node 20 or newer): node examples/transcribe.mjs speech.ogg
// GLAGOL_URL is the server, GLAGOL_KEY the key if the server wants one. In a browser the same
// `transcribe` takes the File of an <input type="file">.
import { openAsBlob } from "node:fs";

const { GLAGOL_URL = "http://127.0.0.1:8080", GLAGOL_KEY } = process.env;

async function transcribe(blob) {
  const form = new FormData();
  form.append("file", blob, "recording");
  const headers = GLAGOL_KEY ? { Authorization: `Bearer ${GLAGOL_KEY}` } : {};
  const answer = await fetch(`${GLAGOL_URL}/v1/transcribe`, { method: "POST", headers, body: form });
  const { success, data, error } = await answer.json();
  if (!success) throw new Error(`${error.code}: ${error.message} (${error.remedy})`);
  return data;
}

try {
  const { text } = await transcribe(await openAsBlob(process.argv[2]));
  console.log(text);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
