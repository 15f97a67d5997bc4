// Records camera and microphone with the browser's MediaRecorder and sends the finished recording to the page.
const recorders = new WeakMap()

export default function ({ data, parentElement, setTriggerValue }) {
  let recorder = recorders.get(parentElement)
  if (!recorder) {
    recorder = new Recorder(parentElement)
    recorders.set(parentElement, recorder)
  }
  recorder.update(data, setTriggerValue)
  return () => {
    recorder.close()
    recorders.delete(parentElement)
  }
}

class Recorder {
  constructor(root) {
    const find = (id) => root.querySelector(`#${id}`)
    this.video = find("preview")
    this.record = find("record")
    this.send = find("send")
    this.status = find("status")
    this.record.onclick = () => (this.running ? this.stop() : this.start())
    this.send.onclick = () => this.deliver()
  }

  update(data, setTriggerValue) {
    this.labels = data.labels
    this.data = data
    this.submit = (recording) => setTriggerValue("recording", recording)
    this.video.setAttribute("aria-label", data.labels.preview)
    this.send.textContent = data.labels.send
    this.label()
    if (!this.running && !this.blob) this.report(data.labels.ready)
  }

  label() {
    this.record.textContent = this.running ? this.labels.stop : this.blob ? this.labels.again : this.labels.record
    this.send.hidden = this.running || !this.blob
  }

  report(text) {
    this.status.textContent = text
  }

  async start() {
    if (!navigator.mediaDevices || !window.MediaRecorder) return this.report(this.labels.unable)
    let stream
    try {
      stream = await openCamera({ width: { ideal: 640 }, height: { ideal: 480 } })
    } catch (error) {
      return this.report(`${this.labels.refused} (${error.name})`)
    }
    this.silent = stream.getAudioTracks().length === 0
    this.stream = stream
    this.blob = null
    this.show({ srcObject: stream, muted: true, controls: false })
    const kind = recordedKind()
    const parts = []
    this.running = new MediaRecorder(stream, { mimeType: kind, videoBitsPerSecond: 1_000_000, audioBitsPerSecond: 64_000 })
    this.running.ondataavailable = (event) => parts.push(event.data)
    this.running.onstop = () => this.finish(new Blob(parts, { type: kind.split(";")[0] }))
    this.running.start(1000)
    this.began = performance.now()
    this.clock = setInterval(() => this.tick(), 200)
    this.tick()
    this.label()
  }

  tick() {
    const seconds = (performance.now() - this.began) / 1000
    this.report(`● ${seconds.toFixed(0)} / ${this.data.seconds} s${this.silent ? ` · ${this.labels.silent}` : ""}`)
    if (seconds >= this.data.seconds) this.stop()
  }

  stop() {
    clearInterval(this.clock)
    if (this.running?.state === "recording") this.running.stop()
    this.stream?.getTracks().forEach((track) => track.stop())
  }

  finish(blob) {
    this.running = null
    this.blob = blob
    this.show({ srcObject: null, src: URL.createObjectURL(blob), muted: false, controls: true })
    this.report(this.labels.done)
    this.label()
    this.record.blur()
  }

  show({ srcObject, src, muted, controls }) {
    if (this.address) URL.revokeObjectURL(this.address)
    this.address = src
    this.video.srcObject = srcObject
    if (src) this.video.src = src
    this.video.muted = muted
    this.video.controls = controls
    this.video.hidden = false
    if (srcObject) this.video.play()
  }

  async deliver() {
    this.send.hidden = true
    this.submit(await asMessage(this.blob))
    this.report(this.labels.sent)
  }

  close() {
    this.stop()
    if (this.address) URL.revokeObjectURL(this.address)
  }
}
