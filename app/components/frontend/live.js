// Records camera and microphone in overlapping short recordings and sends the one that holds the last seconds, again
// and again, each as soon as the page has answered the one before.
const RENEW_MS = 4000 // a recording begins this often; each is dropped once it is as long as the window
const LEAST_MS = 3000 // of a recording that is sent
const PAUSE_MS = 1000 // at least, from one recording that is sent to the next: a server that refuses them gets a rest
const TICK_MS = 250
const rooms = new WeakMap()

export default function ({ data, parentElement, setTriggerValue }) {
  let live = rooms.get(parentElement)
  if (!live) {
    live = new Live(parentElement)
    rooms.set(parentElement, live)
  }
  live.update(data, setTriggerValue)
  return () => {
    live.close()
    rooms.delete(parentElement)
  }
}

// One recording of the camera, which can be read while it goes on.
class Recording {
  constructor(stream, kind) {
    this.parts = []
    this.began = performance.now()
    this.recorder = new MediaRecorder(stream, { mimeType: kind, videoBitsPerSecond: 600_000, audioBitsPerSecond: 64_000 })
    this.recorder.ondataavailable = (event) => {
      this.parts.push(event.data)
      this.flushed?.()
    }
    this.recorder.start()
  }

  get age() {
    return performance.now() - this.began
  }

  async read() {
    await new Promise((resolve) => {
      this.flushed = resolve
      this.recorder.requestData()
    })
    return new Blob(this.parts, { type: this.recorder.mimeType.split(";")[0] })
  }

  stop() {
    if (this.recorder.state === "recording") this.recorder.stop()
  }
}

class Live {
  constructor(root) {
    const find = (id) => root.querySelector(`#${id}`)
    this.video = find("preview")
    this.begin = find("begin")
    this.keep = find("keep")
    this.status = find("status")
    this.number = 0
    this.recordings = []
    this.begin.onclick = () => (this.stream ? this.stop(false) : this.start())
    this.keep.onclick = () => this.stop(true)
  }

  update(data, setTriggerValue) {
    this.data = data
    this.labels = data.labels
    this.submit = setTriggerValue
    this.video.setAttribute("aria-label", data.labels.preview)
    this.keep.textContent = data.labels.keep
    if (this.waiting && data.answered === this.number) {
      this.delay = performance.now() - this.asked
      this.waiting = false
      this.answered = true
      Object.assign(this.status.dataset, { answers: this.number, milliseconds: Math.round(this.delay) })
    }
    this.label()
    if (!this.stream && !this.refused) this.report(data.labels.ready)
  }

  label() {
    this.begin.textContent = this.stream ? this.labels.stop : this.labels.begin
    this.keep.hidden = !this.stream || !this.answered
    this.video.hidden = !this.stream
  }

  report(text) {
    this.status.textContent = text
  }

  async start() {
    this.refused = false
    if (!navigator.mediaDevices || !window.MediaRecorder) return this.refuse(this.labels.unable)
    try {
      this.stream = await openCamera({ width: { ideal: 480 }, height: { ideal: 360 }, frameRate: { ideal: 15 } })
    } catch (error) {
      return this.refuse(`${this.labels.refused} (${error.name})`)
    }
    this.stream.getTracks().forEach((track) => (track.onended = () => this.stop(false))) // unplugged, or taken back
    this.silent = this.stream.getAudioTracks().length === 0
    this.waiting = this.answered = false
    this.delay = null
    this.video.srcObject = this.stream
    this.video.muted = true
    this.video.play()
    this.began = performance.now()
    this.renew()
    this.clocks = [setInterval(() => this.renew(), RENEW_MS), setInterval(() => this.tick(), TICK_MS)]
    this.label()
  }

  refuse(text) {
    this.refused = true
    this.report(text)
  }

  renew() {
    this.recordings.push(new Recording(this.stream, recordedKind()))
    // Until the next one begins, the oldest must not grow longer than the window.
    while (this.recordings[0].age + RENEW_MS > this.data.seconds * 1000) this.recordings.shift().stop()
  }

  async tick() {
    const seconds = ((performance.now() - this.began) / 1000).toFixed(0)
    const delay = this.delay === null ? this.labels.waiting : this.labels.delay.replace("{delay}", (this.delay / 1000).toFixed(1))
    this.report(`● ${seconds} s · ${delay}${this.silent ? ` · ${this.labels.silent}` : ""}`)
    if (this.waiting) return this.data.asked === this.number && this.submit("look", performance.now())
    const [oldest] = this.recordings
    if (oldest.age < LEAST_MS || performance.now() - this.asked < PAUSE_MS) return
    this.waiting = true
    this.asked = performance.now()
    this.number += 1
    const message = await asMessage(await oldest.read())
    if (this.stream) this.submit("window", { ...message, number: this.number })
  }

  // Ends everything; the last answer is kept only where that is asked.
  stop(kept) {
    this.close()
    this.report(this.labels.ready)
    this.label()
    this.submit("stopped", { keep: kept })
  }

  close() {
    this.clocks?.forEach(clearInterval)
    this.recordings.forEach((each) => each.stop())
    this.recordings = []
    this.stream?.getTracks().forEach((track) => track.stop())
    this.stream = null
    this.video.srcObject = null
  }
}
