// The connection as a WebRTC call, for other networks: what `Link` is over a WebSocket. Sound and camera go out as
// tracks, pictures and the sound that goes with them come back as tracks; text messages take a data channel.

export class Call {
  constructor(handlers, ask, view) {
    this.handlers = handlers; // as Link's
    this.ask = ask; // fetches from the server
    this.view = view; // a video element
    this.session = "";
    this.subject = "";
    this.token = "";
    this.codec = "call";
    this.tries = 0;
    view.onplaying = () => this.handlers.playing();
  }

  get open() {
    return this.channel?.readyState === "open";
  }

  async connect() {
    const peer = new RTCPeerConnection({ iceServers: this.servers ?? [] });
    this.peer = peer;
    peer.onconnectionstatechange = () => {
      if (this.peer === peer && ["failed", "disconnected", "closed"].includes(peer.connectionState)) this.again();
    };
    try {
      const { possible, servers } = await (await this.ask("api/calls")).json();
      if (!possible) throw new Error("Calls need the webrtc extra on the server: pip install 'liveface[webrtc]'.");
      peer.setConfiguration({ iceServers: servers });
      this.sound = peer.addTransceiver("audio", { direction: "sendrecv" });
      this.camera = peer.addTransceiver("video", { direction: "sendrecv" });
      const codecs = RTCRtpReceiver.getCapabilities("video").codecs;
      this.camera.setCodecPreferences?.([...codecs].sort((one, two) => rank(one) - rank(two)));
      const shown = new MediaStream();
      peer.ontrack = ({ track }) => {
        shown.addTrack(track);
        this.view.srcObject = shown;
        this.view.play().catch(() => {});
      };
      this.channel = peer.createDataChannel("control");
      this.channel.onmessage = ({ data }) => this.handlers.said(JSON.parse(data));
      this.channel.onopen = () => {
        this.tries = 0;
        this.handlers.state("live", "Call");
        this.handlers.opened({ subject: this.subject, resumed: false });
      };
      await peer.setLocalDescription(await peer.createOffer());
      await gathered(peer);
      const body = JSON.stringify({ sdp: peer.localDescription.sdp, face: this.subject, sound: true });
      const headers = { "Content-Type": "application/json" };
      const answer = await (await this.ask("api/calls", { method: "POST", body, headers })).json();
      this.session = answer.id;
      await peer.setRemoteDescription({ type: answer.type, sdp: answer.sdp });
    } catch (error) {
      this.handlers.said({ type: "error", text: error.message, final: false });
      this.again();
    }
  }

  again() {
    this.peer?.close();
    this.peer = this.channel = null;
    this.handlers.state("wait", "Calling again");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), Math.min(5000, 250 * 2 ** this.tries++));
  }

  // Sound or camera to send, null to stop; what a file says is heard from the call, so that it fits the lips.
  carry(kind, track, heard = false) {
    const way = kind === "audio" ? this.sound : this.camera;
    way?.sender.replaceTrack(track);
    if (kind === "audio") this.view.muted = !heard;
  }

  send(message) {
    if (message instanceof ArrayBuffer || message instanceof Uint8Array) return this.open; // tracks carry these
    if (!this.open) return false;
    this.channel.send(JSON.stringify(message));
    return true;
  }

  // Pictures shown and dropped by the browser, and the time there and back.
  async numbers() {
    const found = { shown: 0, dropped: 0, trip: null };
    for (const one of (await this.peer?.getStats())?.values() ?? []) {
      if (one.type === "inbound-rtp" && one.kind === "video") {
        found.shown = one.framesDecoded ?? 0;
        found.dropped = one.framesDropped ?? 0;
      }
      if (one.type === "candidate-pair" && one.nominated) found.trip = 1000 * one.currentRoundTripTime;
    }
    return found;
  }
}

// H.264 first: both ends code it fastest.
function rank(codec) {
  return /h264/i.test(codec.mimeType) ? 0 : /vp8/i.test(codec.mimeType) ? 1 : 2;
}

// All candidates are to stand in the offer.
function gathered(peer) {
  return new Promise((done) => {
    if (peer.iceGatheringState === "complete") return done();
    setTimeout(done, 3000); // a server that does not answer shall not hold the call up
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && done());
  });
}
