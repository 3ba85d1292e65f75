// @ts-check
// The one connection of a page: a WebSocket, or server-sent events where a proxy allows no other.
// It is closed while the tab is hidden; nothing is replayed, so the page reloads what it shows.

const FIRST_WAIT_MS = 500, LONGEST_WAIT_MS = 15000, HIDDEN_MS = 60000;

/**
 * Listen for as long as the page is there.
 * @param {(message: any) => void} onMessage
 * @param {() => void} onOpen After each opening but the first: what was missed must be read.
 * @param {(there: boolean) => void} [onState]
 */
export function listen(onMessage, onOpen, onState = () => {}) {
  let wait = FIRST_WAIT_MS, opened = 0, sockets = true, timer = 0, hiding = 0;
  /** @type {{close: () => void} | null} */
  let link = null;

  const took = (/** @type {MessageEvent} */ event) => {
    const message = JSON.parse(event.data);
    if (message.type === "hello") {
      wait = FIRST_WAIT_MS;
      onState(true);
      if (opened++) {
        onOpen();
        dispatchEvent(new Event("online")); // what waits for the server may try again at once
      }
    }
    onMessage(message);
  };

  const lost = () => {
    link = null;
    onState(false);
    clearTimeout(timer);
    timer = window.setTimeout(open, wait * (0.75 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  };

  function open() {
    clearTimeout(timer);
    if (link || document.hidden && opened) return;
    if (sockets) {
      let hello = false;
      const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ui/events`);
      socket.onmessage = (event) => { hello = true; took(event); };
      socket.onclose = () => {
        if (link !== mine) return;
        if (!hello && !opened) sockets = false;
        lost();
      };
      const mine = {
        close: () => {
          link = null;
          if (socket.readyState === WebSocket.OPEN) socket.close();
          else socket.onopen = () => socket.close();
        },
      };
      link = mine;
    } else {
      const stream = new EventSource("/ui/events");
      stream.onmessage = took;
      stream.onerror = () => { stream.close(); if (link === mine) lost(); };
      const mine = { close: () => { link = null; stream.close(); } };
      link = mine;
    }
  }

  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    if (document.hidden) hiding = window.setTimeout(() => link?.close(), HIDDEN_MS);
    else open();
  });
  addEventListener("online", () => { wait = FIRST_WAIT_MS; open(); });
  addEventListener("pagehide", () => link?.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
}
