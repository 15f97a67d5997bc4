// What the components that record share: the camera, and the kind of file that the browser records.
const RECORDED_KINDS = ["video/webm;codecs=vp8,opus", "video/webm", "video/mp4"]

// Opens camera and microphone; many have a camera but no microphone, and the model can predict from video alone.
async function openCamera(video) {
  try {
    return await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", ...video }, audio: true })
  } catch {
    return await navigator.mediaDevices.getUserMedia({ video: true })
  }
}

function recordedKind() {
  return RECORDED_KINDS.find((each) => MediaRecorder.isTypeSupported(each))
}

// Reads a recording as `received` of app/components/recorder.py takes it.
function asMessage(blob) {
  return new Promise((resolve) => {
    const reader = new FileReader()
    reader.onload = () => {
      const [head, base64] = reader.result.split(",", 2)
      resolve({ mime: head.slice("data:".length).split(";")[0], base64 })
    }
    reader.readAsDataURL(blob)
  })
}
