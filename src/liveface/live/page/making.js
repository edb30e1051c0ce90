// Faces of one's own: choosing, recording with a guide, and the making of an avatar.

const GUIDE = [
  [8, "Look into the camera and rest"],
  [24, "Talk: tell about your day, or read aloud"],
  [10, "Keep talking, and turn slowly: left, right, up, down"],
  [8, "Raise your brows, frown, smile wide, show your teeth"],
  [6, "Look left, right, up and down with your eyes only"],
  [4, "Blink, and rest"],
];
const find = (id) => document.getElementById(id);

export class Making {
  constructor({ ask, toast, shown }) {
    this.ask = ask;
    this.toast = toast;
    this.shown = shown; // lists the faces anew and shows one
    this.possible = false;
    this.job = null;
    this.source = null;
    find("add-file").onclick = () => find("face-file").click();
    find("add-record").onclick = () => this.record();
    find("make").onsubmit = (event) => {
      event.preventDefault();
      this.make();
    };
    find("making-stop").onclick = () => this.cancel();
    find("guide-begin").onclick = () => this.decided?.(true);
    find("guide-stop").onclick = () => {
      this.decided?.(false);
      if (this.recorder?.state === "recording") this.recorder.stop();
    };
  }

  toggle() {
    find("add").hidden = !find("add").hidden;
  }

  async upload(file) {
    this.toast(`Sending ${file.name} …`);
    try {
      const path = `api/uploads?name=${encodeURIComponent(file.name)}`;
      const taken = await (await this.ask(path, { method: "POST", body: file })).json();
      if (!["image", "avatar", "video"].includes(taken.kind)) throw new Error(`${file.name} shows no face.`);
      find("add").hidden = true;
      if (taken.kind !== "video") await this.shown(taken.id);
      else if (!this.possible) throw new Error("An avatar cannot be made here: the server lacks the train extra.");
      if (taken.kind !== "avatar" && this.possible && !this.job) this.offer(taken);
    } catch (error) {
      this.toast(error.message);
    }
  }

  offer(taken) {
    this.source = taken.id;
    find("make-text").textContent =
      taken.kind === "video"
        ? `An avatar can be made of ${taken.name}.`
        : "The photo talks already. An avatar made of it draws its own mouth, eyes and hair.";
    find("make-name").value = taken.name.replace(/\.[^.]*$/, "");
    find("make").hidden = false;
  }

  async make() {
    const wanted = {
      source: this.source,
      name: find("make-name").value.trim() || "Me",
      consent: find("make-consent").value.trim(),
      minutes: Number(find("make-minutes").value),
    };
    try {
      const headers = { "Content-Type": "application/json" };
      const body = JSON.stringify(wanted);
      this.job = await (await this.ask("api/avatars", { method: "POST", headers, body })).json();
      find("make").hidden = true;
      find("making").hidden = false;
      this.follow();
    } catch (error) {
      this.toast(error.message);
    }
  }

  async follow() {
    const id = this.job.id;
    let looked = 0;
    while (this.job?.id === id) {
      try {
        const job = await (await this.ask(`api/jobs/${id}`)).json();
        find("making-stage").textContent = job.stage || job.state;
        find("making-share").textContent = job.stage ? `${Math.round(100 * job.share)}%` : "";
        find("making-bar").style.width = `${(100 * job.share).toFixed(1)}%`;
        if (job.sample && Date.now() - looked > 5000) {
          looked = Date.now();
          await this.look(id);
        }
        if (job.state === "failed") throw new Error(job.error);
        if (job.state === "done") {
          this.end();
          await this.shown(job.face);
          this.toast("The avatar is made, and shown. Save it below its picture.");
          return;
        }
      } catch (error) {
        if (this.job?.id === id) {
          this.toast(error.message);
          this.end();
        }
        return;
      }
      await new Promise((done) => setTimeout(done, 1000));
    }
  }

  async look(id) {
    const blob = await (await this.ask(`api/jobs/${id}/sample`)).blob();
    const image = find("making-sample");
    if (image.src) URL.revokeObjectURL(image.src);
    image.src = URL.createObjectURL(blob);
    image.hidden = false;
  }

  end() {
    this.job = null;
    find("making").hidden = true;
    find("making-sample").hidden = true;
  }

  async cancel() {
    const job = this.job;
    this.end();
    if (job) await this.ask(`api/jobs/${job.id}`, { method: "DELETE" }).catch((error) => this.toast(error.message));
  }

  // A minute of video with words about what to do; it is sent when it ends.
  async record() {
    const preview = find("preview");
    let stream;
    try {
      const video = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
      stream = await navigator.mediaDevices.getUserMedia({ video, audio: true });
    } catch (error) {
      this.toast(error.name === "NotAllowedError" ? "The browser was not allowed to look." : error.message);
      return;
    }
    preview.srcObject = stream;
    preview.hidden = false;
    preview.classList.add("large");
    await preview.play();
    if (!(await this.check(preview))) {
      this.leave(preview, stream);
      return;
    }
    const parts = [];
    this.recorder = new MediaRecorder(stream, { videoBitsPerSecond: 6_000_000 });
    this.recorder.ondataavailable = (event) => parts.push(event.data);
    const ended = new Promise((done) => (this.recorder.onstop = done));
    this.recorder.start(1000);
    find("guide").hidden = false;
    this.guide();
    await ended;
    this.leave(preview, stream);
    const type = this.recorder.mimeType.split(";")[0];
    await this.upload(new File(parts, `recording.${type.endsWith("mp4") ? "mp4" : "webm"}`, { type }));
  }

  leave(preview, stream) {
    find("guide").hidden = true;
    preview.hidden = true;
    preview.classList.remove("large");
    preview.srcObject = null;
    stream.getTracks().forEach((track) => track.stop());
  }

  // Light, distance and company, looked at once a second until somebody begins (true) or stops (false).
  async check(preview) {
    let answer = null;
    this.decided = (value) => (answer = value);
    find("guide").hidden = false;
    for (const id of ["guide-begin", "guide-advice"]) find(id).hidden = false;
    find("guide-left").textContent = "";
    find("guide-text").textContent = "Looking at the light …";
    const canvas = document.createElement("canvas");
    canvas.width = 640;
    canvas.height = Math.round((640 * preview.videoHeight) / preview.videoWidth);
    while (answer === null) {
      canvas.getContext("2d").drawImage(preview, 0, 0, canvas.width, canvas.height);
      const body = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.85));
      try {
        const headers = { "Content-Type": "image/jpeg" };
        const path = `api/advice?height=${preview.videoHeight}`;
        const { advice } = await (await this.ask(path, { method: "POST", headers, body })).json();
        if (answer !== null) break;
        find("guide-text").textContent = advice.length ? "Almost" : "All is well";
        find("guide-begin").textContent = advice.length ? "Begin anyway" : "Begin";
        find("guide-advice").replaceChildren(
          ...advice.map((text) => Object.assign(document.createElement("li"), { textContent: text })),
        );
      } catch (error) {
        find("guide-text").textContent = error.message;
      }
      for (let waited = 0; answer === null && waited < 10; waited++) await new Promise((done) => setTimeout(done, 100));
    }
    this.decided = null;
    for (const id of ["guide-begin", "guide-advice"]) find(id).hidden = true;
    return answer;
  }

  async guide() {
    const recorder = this.recorder;
    for (const [seconds, text] of GUIDE) {
      find("guide-text").textContent = text;
      for (let left = seconds; left > 0; left--) {
        find("guide-left").textContent = `${left} s`;
        await new Promise((done) => setTimeout(done, 1000));
        if (recorder.state !== "recording") return;
      }
    }
    recorder.stop();
  }
}
