// The connection: a WebSocket that comes back by itself and goes on with the session it had.

import { unpackPicture } from "./wire.js";

export class Link {
  constructor(handlers) {
    this.handlers = handlers; // state(name, text), picture(message), said(message), opened()
    this.session = "";
    this.subject = "";
    this.token = "";
    this.codec = "h264";
    this.tries = 0;
    this.final = false;
  }

  get open() {
    return this.socket?.readyState === WebSocket.OPEN && this.welcomed;
  }

  connect() {
    this.final = false;
    this.welcomed = false;
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(`${scheme}//${location.host}/live`);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      const hello = { type: "hello", codec: this.codec, token: this.token };
      if (this.subject) hello.subject = this.subject;
      if (this.session) hello.resume = this.session;
      socket.send(JSON.stringify(hello));
    };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") this.text(JSON.parse(event.data));
      else {
        const message = unpackPicture(event.data);
        if (message) this.handlers.picture(message);
      }
    };
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.welcomed = false;
      if (this.final) return;
      this.handlers.state("wait", "Reconnecting");
      const pause = Math.min(5000, 250 * 2 ** this.tries++);
      setTimeout(() => this.connect(), pause);
    };
    this.socket = socket;
  }

  text(message) {
    if (message.type === "welcome") {
      this.session = message.session;
      this.welcomed = true;
      this.tries = 0;
      this.handlers.state("live", "Live");
      this.handlers.opened(message);
    } else if (message.type === "error" && message.final) {
      this.session = "";
      // A full server is asked again, a wrong token is not.
      this.final = message.code !== 1013 && message.code !== undefined;
      this.tries = Math.max(this.tries, 4);
      this.handlers.state("off", this.final ? "Not connected" : "Waiting");
      if (message.code === undefined) this.socket.close(); // the session is over, not the server
    }
    this.handlers.said(message);
  }

  send(message) {
    if (!this.open) return false;
    // What a slow way has not taken yet is not added to.
    if (message instanceof ArrayBuffer || message instanceof Uint8Array) {
      if (this.socket.bufferedAmount > 256 * 1024) return false;
      this.socket.send(message);
    } else this.socket.send(JSON.stringify(message));
    return true;
  }
}
